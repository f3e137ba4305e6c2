#include "host/io/atomic_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/io/files.hpp"

namespace culatent::io::testing {
namespace {

TEST(AtomicFile, AppearsWholeAndOnlyAtCommit) {
  const Folder folder;
  const std::string path = folder.file("out", "old");
  {
    AtomicFile file(path);
    file.write("new content", 11);
    EXPECT_EQ(read_file(path), "old");
    EXPECT_EQ(folder.names().size(), 2u);
    file.commit();
    EXPECT_EQ(read_file(path), "new content");
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"out"});
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const Folder folder;
  const std::string path = folder.file("out", "old");
  {
    AtomicFile file(path);
    file.write("new", 3);
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(folder.names().size(), 1u);
}

TEST(AtomicFile, RemovesEveryUnfinishedFileOnASignal) {
  const Folder folder;
  AtomicFile first(folder.path("a"));
  AtomicFile second(folder.path("b"));
  { AtomicFile done(folder.path("c")); }
  ASSERT_EQ(folder.names().size(), 2u);
  remove_unfinished_files();
  EXPECT_TRUE(folder.names().empty());
}

TEST(AtomicFile, KeepsWorkingBeyondTheSlots) {
  const Folder folder;
  {
    std::vector<std::unique_ptr<AtomicFile>> files;
    for (int i = 0; i < 100; ++i) {
      files.push_back(std::make_unique<AtomicFile>(folder.path(std::to_string(i))));
    }
    EXPECT_EQ(folder.names().size(), 100u);
    files[99]->commit();
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"99"});
}

TEST(AtomicFile, KeepsPermissionsAndFollowsLinks) {
  const Folder folder;
  const std::string path = folder.file("target", "old");
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  std::filesystem::create_symlink("target", folder.path("link"));
  write_file_atomically(folder.path("link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("link")));
  EXPECT_EQ(read_file(path), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(AtomicFile, NamesWhatCannotBeWritten) {
  const Folder folder;
  expect_contains(io_error_of([&] { AtomicFile file(folder.path("")); }), "is a folder");
  expect_contains(io_error_of([&] { AtomicFile file(folder.path("no/such/folder/x")); }),
                  "No such file");
  expect_contains(io_error_of([&] { AtomicFile file(folder.path("name/")); }), "names no file");
  expect_contains(io_error_of([&] { AtomicFile file(""); }), "names no file");
  EXPECT_TRUE(folder.names().empty());
}

TEST(AtomicFile, WritesToADeviceAsItIs) {
  write_file_atomically("/dev/null", "gone");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const std::string error = io_error_of([] { write_file_atomically("/dev/full", "text"); });
  expect_contains(error, "No space left on device");
  expect_contains(error, "/dev/full");
}

// A limit on the size of files stands for a full disk: the write fails in the middle.
TEST(AtomicFile, AFullDiskLeavesTheOldFile) {
  const Folder folder;
  const std::string path = folder.file("out", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int code = 1;
    try {
      write_file_atomically(path, std::string(10000, 'x'));
    } catch (const io_error& error) {
      code = std::string(error.what()).find("cannot write") == 0 ? 42 : 2;
    }
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(folder.names().size(), 1u);
}

}  // namespace
}  // namespace culatent::io::testing
