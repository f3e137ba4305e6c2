#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace culatent {

/// The only threads of the library: a fixed set that waits for work.
class ThreadPool {
 public:
  /// Throws out_of_memory when the system does not give as many.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return n_threads_; }

  /// Calls body(task, worker) once for every task in [0, n_tasks), 0 ≤ worker < n_workers; a worker
  /// runs one task at a time. Tasks are taken in any order, so what they add up must be
  /// order-free. The first exception of a task ends the loop and is rethrown here.
  void parallel_for(std::int64_t n_tasks, int n_workers,
                    const std::function<void(std::int64_t task, int worker)>& body);

 private:
  struct State;
  void serve(int worker);
  void work(int worker);
  void stop();

  int n_threads_;
  std::unique_ptr<State> state_;
};

}  // namespace culatent
