#pragma once

#include <string>
#include <vector>

/// One function a verb: takes what follows it on the command line, returns the exit code, throws
/// for errors (main turns them into a line and a code).
namespace culatent::cli {

using Arguments = std::vector<std::string>;

int fit_verb(const Arguments& arguments);
int embed_verb(const Arguments& arguments);
int predict_verb(const Arguments& arguments);
int transform_verb(const Arguments& arguments);
int score_verb(const Arguments& arguments);
int sample_verb(const Arguments& arguments);
int info_verb(const Arguments& arguments);
int convert_verb(const Arguments& arguments);
int devices_verb(const Arguments& arguments);

/// "culatent fit …" as it was typed, quoted for a shell.
const std::string& command_line();
void set_command_line(int argc, char** argv);

}  // namespace culatent::cli
