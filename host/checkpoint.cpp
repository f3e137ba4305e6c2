#include "host/checkpoint.hpp"

namespace culatent {

io::TensorFile checkpoint_file(const std::string& method, const std::string& identity,
                               std::uint64_t seed) {
  io::TensorFile file;
  file.metadata = {
      {"culatent.checkpoint", method}, {"identity", identity}, {"seed", std::to_string(seed)}};
  return file;
}

io::TensorFile read_checkpoint_file(const std::string& path, const std::string& method,
                                    const std::string& identity) {
  io::TensorFile file = io::read_tensors(path);
  const auto stated = file.metadata.find("culatent.checkpoint");
  if (stated == file.metadata.end() || stated->second != method) {
    throw io_error("not a checkpoint of " + method, path,
                   "resume from a checkpoint of this method, or remove the file");
  }
  const auto made_with = file.metadata.find("identity");
  if (made_with == file.metadata.end() || made_with->second != identity) {
    throw data_error("the checkpoint was made with other data or options", path,
                     "resume with the same ones, or remove the file to start afresh");
  }
  return file;
}

}  // namespace culatent
