#include "verifier/worker_pool.h"

namespace sgrpo::verifier {

WorkerPool::WorkerPool(size_t num_threads) {
  for (size_t i = 0; i < num_threads; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(const std::vector<std::function<void()>>& tasks) {
  const std::lock_guard one_caller(caller_);
  std::unique_lock lock(mutex_);
  tasks_ = &tasks;
  errors_.assign(tasks.size(), nullptr);
  next_ = 0;
  wake_.notify_all();
  drain(lock);
  done_.wait(lock, [this] { return num_running_ == 0; });
  tasks_ = nullptr;
  for (const std::exception_ptr& error : errors_) {
    if (error) std::rethrow_exception(error);
  }
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock,
               [this] { return is_closing_ || (tasks_ != nullptr && next_ < tasks_->size()); });
    if (is_closing_) return;
    drain(lock);
  }
}

void WorkerPool::drain(std::unique_lock<std::mutex>& lock) {
  while (tasks_ != nullptr && next_ < tasks_->size()) {
    const size_t index = next_++;
    ++num_running_;
    lock.unlock();
    std::exception_ptr error;
    try {
      (*tasks_)[index]();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    errors_[index] = error;
    if (--num_running_ == 0) done_.notify_all();
  }
}

}  // namespace sgrpo::verifier
