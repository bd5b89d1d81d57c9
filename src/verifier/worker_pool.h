// A fixed number of threads that run a list of tasks and wait for all of them.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sgrpo::verifier {

class WorkerPool {
 public:
  explicit WorkerPool(size_t num_threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs every task and returns when all are done; the calling thread helps. Rethrows the first
  /// exception, in the order of the list. One caller at a time; others wait.
  void run(const std::vector<std::function<void()>>& tasks);

 private:
  void work();
  void drain(std::unique_lock<std::mutex>& lock);

  std::mutex caller_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::vector<std::function<void()>>* tasks_ = nullptr;
  std::vector<std::exception_ptr> errors_;
  size_t next_ = 0, num_running_ = 0;
  bool is_closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sgrpo::verifier
