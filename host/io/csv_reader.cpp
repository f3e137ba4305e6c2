#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "culatent/context.hpp"
#include "host/io/csv_line.hpp"
#include "host/io/inflate.hpp"
#include "host/io/readers.hpp"
#include "host/parallel.hpp"

// What is understood: one row a line (LF or CRLF), separators detected, fields in double quotes (on
// one line), blank lines and lines that begin with '#' skipped, a UTF-8 byte order mark skipped.
// The first line is a header when its chosen fields are all text; text and numbers mixed are an
// error, because either reading would lose something silently.
namespace culatent::io {
namespace {

struct Line {
  std::string_view text;
  std::int64_t next = 0;  // where the line after it begins
};

Line line_at(const Bytes& bytes, std::int64_t at, std::int64_t last) {
  const void* found = std::memchr(bytes.data + at, '\n', static_cast<std::size_t>(last - at));
  const std::int64_t end =
      found == nullptr ? last : static_cast<const unsigned char*>(found) - bytes.data;
  return {bytes.text(at, end - at), std::min(last, end + 1)};
}

// A part of the file that begins and ends between lines.
struct Chunk {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t first_line = 0;  // line number, from 1
  std::int64_t first_row = 0;
  std::int64_t n_lines = 0;
  std::int64_t n_rows = 0;
};

struct Layout {
  Dialect dialect;
  std::int64_t n_fields = 0;
  Range columns;
  std::vector<std::string> names;  // of the chosen columns; empty without a header
  std::int64_t data_at = 0;
  std::int64_t data_line = 1;
};

// True for a header, false for a row of numbers.
bool is_header(const std::vector<std::string>& fields, const Range& columns, const Bytes& bytes,
               std::int64_t line_number) {
  std::int64_t n_text = 0, n_number = 0, first_text = 0;
  for (std::int64_t j = columns.first; j < *columns.last; ++j) {
    double value = 0;
    const FieldKind kind = parse_field(fields[static_cast<std::size_t>(j)], &value);
    if (kind == FieldKind::text && n_text++ == 0) first_text = j;
    if (kind == FieldKind::number || kind == FieldKind::overflow) ++n_number;
  }
  if (n_text > 0 && n_number > 0) {
    throw io_error("the first row mixes names and numbers",
                   bytes.name + ", line " + std::to_string(line_number) + ", column " +
                       std::to_string(first_text + 1),
                   "name every column or none, or choose the columns of numbers (--columns)");
  }
  return n_text > 0;
}

Layout find_layout(const Bytes& bytes, const CsvOptions& options) {
  if (bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff")) {
    fail_at_byte(bytes, 0, "the text is UTF-16", "save it as UTF-8");
  }
  Layout layout;
  std::int64_t at = bytes.starts_with("\xef\xbb\xbf") ? 3 : 0;
  std::int64_t line_number = 0;
  Line first;
  do {
    if (at == bytes.size) throw io_error("no rows", bytes.name, "give a file with data");
    layout.data_at = at;
    first = line_at(bytes, at, bytes.size);
    at = first.next;
    ++line_number;
  } while (is_skipped(first.text));
  std::string_view second;
  for (std::int64_t look = at; look < bytes.size && is_skipped(second);) {
    const Line line = line_at(bytes, look, bytes.size);
    second = line.text;
    look = line.next;
  }
  layout.dialect = detect_dialect(first.text, is_skipped(second) ? "" : second);
  layout.data_line = line_number;
  const std::vector<std::string> fields = split_line(first.text, layout.dialect);
  layout.n_fields = static_cast<std::int64_t>(fields.size());
  layout.columns = resolve(options.columns, layout.n_fields, "columns", bytes.name);
  if (is_header(fields, layout.columns, bytes, line_number)) {
    layout.names.assign(fields.begin() + layout.columns.first,
                        fields.begin() + *layout.columns.last);
    layout.data_at = at;
    ++layout.data_line;
  }
  return layout;
}

std::vector<Chunk> cut(const Bytes& bytes, std::int64_t data_at) {
  constexpr std::int64_t kChunkBytes = 4 << 20;
  std::vector<Chunk> chunks;
  for (std::int64_t at = data_at; at < bytes.size;) {
    const std::int64_t wanted = std::min(bytes.size, at + kChunkBytes);
    const std::int64_t last =
        wanted == bytes.size ? wanted : line_at(bytes, wanted - 1, bytes.size).next;
    Chunk chunk;
    chunk.first = at;
    chunk.last = last;
    chunks.push_back(chunk);
    at = last;
  }
  return chunks;
}

void count(const Bytes& bytes, Chunk* chunk) {
  for (std::int64_t at = chunk->first; at < chunk->last;) {
    const Line line = line_at(bytes, at, chunk->last);
    ++chunk->n_lines;
    if (!is_skipped(line.text)) ++chunk->n_rows;
    at = line.next;
  }
}

// Runs body on every chunk, several at a time; rethrows the error that comes first in the file.
void for_each_chunk(std::vector<Chunk>* chunks, ThreadPool* pool,
                    const std::function<void(Chunk*)>& body) {
  std::vector<std::exception_ptr> errors(chunks->size());
  const auto run = [&](std::int64_t i, int) {
    try {
      body(&(*chunks)[static_cast<std::size_t>(i)]);
    } catch (...) {
      errors[static_cast<std::size_t>(i)] = std::current_exception();
    }
  };
  const auto n_chunks = static_cast<std::int64_t>(chunks->size());
  if (pool != nullptr) {
    pool->parallel_for(n_chunks, pool->size(), run);
  } else {
    for (std::int64_t i = 0; i < n_chunks; ++i) run(i, 0);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

// Parses the rows of a chunk that lie in `rows`. row_of(i) says where the i-th of them goes.
void parse(const Bytes& bytes, const Layout& layout, const Chunk& chunk, const Range& rows,
           bool missing, const std::function<double*(std::int64_t)>& row_of) {
  if (chunk.first_row >= *rows.last || chunk.first_row + chunk.n_rows <= rows.first) return;
  LineContext context{bytes.name,           chunk.first_line,     layout.n_fields,
                      layout.columns.first, *layout.columns.last, missing};
  std::int64_t row = chunk.first_row;
  for (std::int64_t at = chunk.first; at < chunk.last; ++context.line_number) {
    const Line line = line_at(bytes, at, chunk.last);
    at = line.next;
    if (is_skipped(line.text)) continue;
    if (row >= rows.first && row < *rows.last) {
      parse_line(line.text, layout.dialect, context, row_of(row - rows.first));
    }
    ++row;
  }
}

std::shared_ptr<double[]> allocate(const Bytes& bytes, std::int64_t rows, std::int64_t cols,
                                   std::int64_t memory_limit) {
  std::int64_t needed = 0;
  const bool fits = product_fits(rows, cols, &needed) &&
                    product_fits(needed, sizeof(double), &needed) &&
                    needed <= effective_limit(memory_limit) - bytes.in_memory;
  if (fits) {
    try {
      return std::shared_ptr<double[]>(
          new double[static_cast<std::size_t>(std::max<std::int64_t>(1, rows * cols))]);
    } catch (const std::bad_alloc&) {
      // reported below
    }
  }
  throw out_of_memory(
      std::to_string(rows) + " x " + std::to_string(cols) + " numbers do not fit the memory limit",
      bytes.name, "convert the file to .npy, which is read in place, or raise the limit");
}

}  // namespace

Table read_csv(const Bytes& bytes, const CsvOptions& options) {
  const Layout layout = find_layout(bytes, options);
  std::vector<Chunk> chunks = cut(bytes, layout.data_at);
  std::unique_ptr<Context> threads;
  if (chunks.size() > 1) {
    threads = std::make_unique<Context>(Context::Options{.n_threads = options.n_threads});
  }
  ThreadPool* pool = threads ? &threads->threads() : nullptr;

  for_each_chunk(&chunks, pool, [&](Chunk* chunk) { count(bytes, chunk); });
  std::int64_t n_rows = 0, line_number = layout.data_line;
  for (Chunk& chunk : chunks) {
    chunk.first_row = n_rows;
    chunk.first_line = line_number;
    n_rows += chunk.n_rows;
    line_number += chunk.n_lines;
  }
  const Range rows = resolve(options.rows, n_rows, "rows", bytes.name);
  const std::int64_t n_read = *rows.last - rows.first;
  const std::int64_t n_cols = *layout.columns.last - layout.columns.first;
  std::int64_t least_bytes = 0;
  if (!product_fits(n_read, layout.n_fields, &least_bytes) || least_bytes > bytes.size + 1) {
    // A row takes at least one byte a field, so some line is too short: find it before memory is
    // taken for what cannot be there.
    std::vector<double> scratch(static_cast<std::size_t>(n_cols));
    for (const Chunk& chunk : chunks) {
      parse(bytes, layout, chunk, rows, options.missing,
            [&](std::int64_t) { return scratch.data(); });
    }
  }
  const std::shared_ptr<double[]> values = allocate(bytes, n_read, n_cols, options.memory_limit);
  for_each_chunk(&chunks, pool, [&](Chunk* chunk) {
    parse(bytes, layout, *chunk, rows, options.missing,
          [&](std::int64_t i) { return values.get() + i * n_cols; });
  });

  Table table;
  table.format = "csv";
  table.elements = row_major(reinterpret_cast<const unsigned char*>(values.get()), ElementType::f8,
                             n_read, n_cols);
  table.owner = values;
  table.bytes_in_memory = n_read * n_cols * static_cast<std::int64_t>(sizeof(double));
  table.column_names = layout.names;
  return table;
}

}  // namespace culatent::io
