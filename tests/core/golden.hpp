#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "culatent/dataset.hpp"
#include "culatent/matrix.hpp"

/// Access to tests/golden: results of other packages, frozen.
namespace culatent::golden {

inline Matrix<double> read_matrix(const std::string& path) {
  const auto source = open_dataset(path).source<double>();
  Matrix<double> matrix(source->rows(), source->cols());
  const MatrixView<const double> rows = source->read(0, matrix.view());
  Matrix<double> result(rows.rows, rows.cols);
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    for (std::int64_t j = 0; j < rows.cols; ++j) result(i, j) = rows(i, j);
  }
  return result;
}

inline void flatten(const nlohmann::json& value, std::vector<double>& out) {
  if (value.is_array()) {
    for (const auto& element : value) flatten(element, out);
  } else {
    out.push_back(value.get<double>());
  }
}

class Case {
 public:
  explicit Case(const std::string& name) : folder_(CULATENT_TEST_DATA "/golden/" + name + "/") {
    std::ifstream file(folder_ + "case.json");
    json_ = nlohmann::json::parse(file);
  }
  const nlohmann::json& params() const { return json_.at("params"); }
  Matrix<double> input(const std::string& name) const {
    const nlohmann::json& entry = json_.at("inputs").at(name);
    const Matrix<double> whole = read_matrix(folder_ + entry.at("file").get<std::string>());
    if (!entry.contains("rows")) return whole;
    Matrix<double> first(entry.at("rows").get<std::int64_t>(), whole.cols());
    std::copy_n(whole.data(), first.size(), first.data());
    return first;
  }
  std::vector<double> input_values(const std::string& name) const {
    const Matrix<double> m = input(name);
    return {m.data(), m.data() + m.size()};
  }
  std::vector<double> expected(const std::string& name) const {
    const nlohmann::json& entry = json_.at("expected").at(name);
    std::vector<double> values;
    if (entry.contains("file")) {
      const Matrix<double> m = read_matrix(folder_ + entry.at("file").get<std::string>());
      return {m.data(), m.data() + m.size()};
    }
    flatten(entry.at("value"), values);
    return values;
  }
  double tolerance(const std::string& name, bool is_float) const {
    return json_.at("expected").at(name).at(is_float ? "atol_f32" : "atol_f64").get<double>();
  }

 private:
  std::string folder_;
  nlohmann::json json_;
};

/// Expects `actual` to be what the case has under `name`, within its tolerance.
inline void expect_near(const Case& c, const std::string& name, const std::vector<double>& actual,
                        bool is_float) {
  const std::vector<double> expected = c.expected(name);
  const double tolerance = c.tolerance(name, is_float);
  ASSERT_EQ(actual.size(), expected.size()) << name;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], tolerance) << name << "[" << i << "]";
  }
}

}  // namespace culatent::golden
