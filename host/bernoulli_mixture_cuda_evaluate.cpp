#include "host/bernoulli_mixture_cuda.hpp"
#include "host/wave_outputs.hpp"

namespace culatent::bernoulli_mixture {

template <class T>
Summary cuda_evaluate(const Context& context, const Model& model, const RowSource<T>& rows,
                      const Outputs<T>& outputs) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  const RowOutputs<T> wanted{outputs.log_prob, outputs.responsibilities, outputs.labels,
                             outputs.space};
  CudaDevice& device = *context.cuda();
  const std::int64_t k = model.n_components();
  const std::int64_t n_heads = kHeads + k;
  EvaluationNeeds needs;
  needs.fixed_bytes = DeviceMixture<T>::bytes(k, model.n_features(), outputs.missing) +
                      n_heads * (static_cast<std::int64_t>(sizeof(DeviceSum)) + 8) + 8;
  needs.tile_bytes = checked_product(kSize * kBlockRows, k);
  needs.record_bytes = 8 * (kBlockRows + n_heads);
  needs.result_bytes = 2 * WaveOutputs<T>::row_bytes(k, wanted);
  const Evaluation evaluation = plan_evaluation(context, rows, needs);
  const std::int64_t tile_rows = evaluation.flow.tile_rows;
  const CudaBackend backend{device, context.threads(), evaluation.n_workers};

  DeviceMixture<T> mixture(device, k, model.n_features(), outputs.missing);
  DeviceArray<T> resp_cells(device, checked_product(tile_rows, k), "responsibilities of a wave");
  DeviceArray<double> log_prob(device, tile_rows, "log-densities of a wave");
  DeviceArray<double> heads(device, tile_rows / kBlockRows * n_heads, "sums of a wave");
  DeviceArray<DeviceSum> sums(device, n_heads, "sums");
  DeviceArray<double> values(device, n_heads, "sums");
  DeviceArray<std::int64_t> bad_cell(device, 1, "status");
  const FitRows<T> fit_rows{rows, {}};
  DeviceFeed<T> feed(backend, fit_rows, DeviceFeed<T>::shape(rows, false, evaluation.flow));
  WaveOutputs<T> results(backend, tile_rows, rows.rows(), k, wanted);

  mixture.upload(backend, model);
  std::int64_t cell = -1;
  bad_cell.upload(&cell, 1);
  sums.fill_zero();
  const DeviceResponsibilities<T> resp{resp_cells.data(), tile_rows};
  for_each_wave(feed, tile_rows, [&](const DeviceRows<T>& part, std::int64_t first) {
    find_outside(backend, part, first, outputs.missing, bad_cell.data());
    log_joint(backend, part, mixture.parameters(), resp);
    normalise(backend, part, k, resp, log_prob.data(), heads.data());
    add_partials(backend, heads.data(), (part.n_rows + kBlockRows - 1) / kBlockRows, n_heads,
                 n_heads, sums.data());
    write_outputs(backend, part.n_rows, k, resp, log_prob.data(), results.begin(first));
    results.send(part.n_rows);
  });
  results.finish();
  bad_cell.download(&cell, 1);
  if (cell >= 0) check_values(bad_value(context, rows, cell));
  round_sums(backend, sums.data(), n_heads, values.data());
  double totals[kHeads];
  values.download(totals, kHeads);
  const auto n = static_cast<double>(rows.rows());
  return {totals[1] / n, totals[3] / n};
}

template Summary cuda_evaluate(const Context&, const Model&, const RowSource<float>&,
                               const Outputs<float>&);
template Summary cuda_evaluate(const Context&, const Model&, const RowSource<double>&,
                               const Outputs<double>&);

}  // namespace culatent::bernoulli_mixture
