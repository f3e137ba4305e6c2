#include <algorithm>

#include "host/io/readers.hpp"

namespace culatent::io {
namespace {

std::string lower_case_name(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

// "train-images-idx3-ubyte", "x.idx", "x.idx2": MNIST's own names have no extension.
bool is_idx_name(const std::string& name) {
  for (auto at = name.find("idx"); at != std::string::npos; at = name.find("idx", at + 1)) {
    const bool begins = at > 0 && (name[at - 1] == '-' || name[at - 1] == '.');
    const bool ends = at + 3 == name.size() || (name[at + 3] >= '1' && name[at + 3] <= '9');
    if (begins && ends) return true;
  }
  return false;
}

bool looks_like_text(const Bytes& bytes) {
  const std::string_view start = bytes.text(0, std::min<std::int64_t>(bytes.size, 4096));
  return std::none_of(start.begin(), start.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code < 0x20 && code != '\t' && code != '\n' && code != '\r';
  });
}

}  // namespace

Table read_table(Bytes bytes, const std::string& member, const DatasetOptions& options) {
  std::string name = lower_case_name(bytes.name);
  if (options.raw_rows || options.raw_cols) {
    return read_raw(bytes, options.raw_rows, options.raw_cols.value_or(1), options.raw_type);
  }
  if (bytes.size == 0) throw io_error("the file is empty", bytes.name, "give a file with data");
  if (bytes.starts_with("\x89HDF\r\n\x1a\n") || ends_with_any(name, {".h5", ".hdf5"})) {
    throw io_error("this build has no HDF5", bytes.name,
                   "convert the data set to .npy, for example with h5py and numpy.save");
  }
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06")) {
    return read_npz(bytes, member, options.memory_limit);
  }
  if (!member.empty()) {
    throw io_error("only .npz files have members to name", bytes.name,
                   "leave out ':" + member + "'");
  }
  if (bytes.starts_with("\x1f\x8b")) {
    bytes = read_gzip(bytes, options.memory_limit);
    if (name.ends_with(".gz")) name.resize(name.size() - 3);
    if (bytes.size == 0) throw io_error("the file is empty", bytes.name, "give a file with data");
  }
  if (bytes.starts_with("\x93NUMPY") || name.ends_with(".npy")) return read_npy(bytes);
  if (name.ends_with(".npz")) return read_npz(bytes, member, options.memory_limit);
  if (name.ends_with(".fvecs")) return read_vecs(bytes, ElementType::f4);
  if (name.ends_with(".bvecs")) return read_vecs(bytes, ElementType::u1);
  if (name.ends_with(".ivecs")) return read_vecs(bytes, ElementType::i4);
  if (is_idx_name(name)) return read_idx(bytes);
  if (ends_with_any(name, {".csv", ".tsv", ".txt", ".tab"}) || looks_like_text(bytes)) {
    return read_csv(bytes, {.rows = options.rows,
                            .columns = options.columns,
                            .missing = options.missing,
                            .memory_limit = options.memory_limit,
                            .n_threads = options.n_threads});
  }
  if (ends_with_any(name, {".raw", ".bin", ".dat"})) {
    throw io_error("a raw file needs its shape and element type", bytes.name,
                   "give them (--shape ROWSxCOLS --raw-type float32)");
  }
  if (bytes.size >= 4 && bytes.data[0] == 0 && bytes.data[1] == 0) return read_idx(bytes);
  throw io_error("the format is not known", bytes.name,
                 "give .npy, .npz, .csv, IDX, .fvecs, .bvecs, or the shape of a raw file");
}

}  // namespace culatent::io
