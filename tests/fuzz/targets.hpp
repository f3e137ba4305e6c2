#pragma once

#include <cstddef>
#include <cstdint>

/// Each feeds bytes to one reader and then reads every element that it promised. True when the
/// bytes were accepted, false when they were refused by a typed error; any other end is a bug.
namespace culatent::io::fuzz {

bool npy(const std::uint8_t* data, std::size_t size);
bool npz(const std::uint8_t* data, std::size_t size);
bool csv(const std::uint8_t* data, std::size_t size);
bool idx(const std::uint8_t* data, std::size_t size);
bool fvecs(const std::uint8_t* data, std::size_t size);
bool raw(const std::uint8_t* data, std::size_t size);
bool gzip(const std::uint8_t* data, std::size_t size);
bool safetensors(const std::uint8_t* data, std::size_t size);

}  // namespace culatent::io::fuzz
