#include "host/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "culatent/error.hpp"

namespace culatent {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::vector<std::thread> threads;  // workers 1 … size − 1; worker 0 is the caller
  const std::function<void(std::int64_t, int)>* body = nullptr;
  std::int64_t n_tasks = 0;
  int n_workers = 0;
  std::atomic<std::int64_t> next{0};
  std::uint64_t round = 0;
  int running = 0;
  std::exception_ptr error;
  bool stopping = false;
};

ThreadPool::ThreadPool(int n_threads)
    : n_threads_(std::max(1, n_threads)), state_(std::make_unique<State>()) {
  try {
    for (int worker = 1; worker < n_threads_; ++worker) {
      state_->threads.emplace_back([this, worker] { serve(worker); });
    }
  } catch (const std::exception& error) {  // std::system_error or std::bad_alloc
    stop();
    throw out_of_memory("cannot start " + std::to_string(n_threads_) + " threads: " + error.what(),
                        "Context", "use fewer (n_threads / --threads)");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

// What a thread does until it is stopped: its share of every loop that has work for it.
void ThreadPool::serve(int worker) {
  std::uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(state_->mutex);
      state_->wake.wait(lock, [&] { return state_->stopping || state_->round != seen; });
      if (state_->stopping) return;
      seen = state_->round;
      if (worker >= state_->n_workers) continue;
    }
    work(worker);
    std::lock_guard lock(state_->mutex);
    if (--state_->running == 0) state_->done.notify_one();
  }
}

void ThreadPool::work(int worker) {
  State& state = *state_;
  try {
    for (;;) {
      const std::int64_t task = state.next.fetch_add(1);
      if (task >= state.n_tasks) return;
      (*state.body)(task, worker);
    }
  } catch (...) {
    std::lock_guard lock(state.mutex);
    if (!state.error) state.error = std::current_exception();
    state.next = state.n_tasks;  // the others stop after the task they are in
  }
}

void ThreadPool::parallel_for(std::int64_t n_tasks, int n_workers,
                              const std::function<void(std::int64_t, int)>& body) {
  if (n_tasks <= 0) return;
  State& state = *state_;
  const int used =
      static_cast<int>(std::min<std::int64_t>(std::clamp(n_workers, 1, n_threads_), n_tasks));
  {
    std::lock_guard lock(state.mutex);
    state.body = &body;
    state.n_tasks = n_tasks;
    state.n_workers = used;
    state.next = 0;
    state.error = nullptr;
    state.running = used - 1;
    ++state.round;
  }
  if (used > 1) state.wake.notify_all();
  work(0);
  std::unique_lock lock(state.mutex);
  state.done.wait(lock, [&] { return state.running == 0; });
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace culatent
