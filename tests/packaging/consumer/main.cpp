#include <algorithm>
#include <cstdio>
#include <culatent/culatent.hpp>

int main() {
  const float x[] = {-1.1F, -1.0F, -0.9F, 3.8F, 4.0F, 4.2F};  // two groups, means -1 and 4
  culatent::Context context;
  const auto run = culatent::gaussian_mixture::fit<float>(
      context, culatent::MatrixView<const float>(x, 6, 1), {.n_components = 2, .seed = 7});
  const auto& means = run.model.means;
  std::printf("%.3f %.3f (cuLatent %s)\n", std::min(means(0, 0), means(1, 0)),
              std::max(means(0, 0), means(1, 0)), CULATENT_VERSION);
}
