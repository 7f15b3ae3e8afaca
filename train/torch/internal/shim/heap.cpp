//go:build !lite

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <set>

#include "shim.h"

namespace {

// Heap holds the larger tensors of the CPU in one range of addresses, as large as the machine's memory; the system gives a
// page when it is first touched, and keeps it. A tensor gets the smallest hole that it fits in, the lowest of those, and
// holes that meet become one. So when a step has freed what it made, the next one finds all of it in one piece, and memory
// is what the largest step so far has taken.
//
// malloc does not do that: small blocks that live longer come to lie between the tensors, and before version 2.38 glibc's
// posix_memalign asks for a larger block than it gives back, which never fits the same request again.
class Heap final : public c10::Allocator {
 public:
  // install makes tensors from now on live here; false where the system grants no such range.
  static bool install() {
    static Heap* const heap = make();
    if (heap) c10::SetCPUAllocator(heap, /*priority=*/1);
    return heap != nullptr;
  }

  static void measure(int64_t* in_use, int64_t* reach) {
    *in_use = the_heap ? the_heap->used : 0;
    *reach = the_heap ? the_heap->reach : 0;
  }

  c10::DataPtr allocate(size_t n) override {
    void* p = n < kSmall ? nullptr : take(n);
    if (!p) p = c10::alloc_cpu(n);
    return {p, p, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }

 private:
  static constexpr size_t kSmall = 64 << 10;  // smaller tensors are malloc's
  static constexpr size_t kAlign = 64;        // bytes: what vector instructions like

  struct Block {
    size_t size;
    bool free;
  };
  using Blocks = std::map<char*, Block>;  // every byte of the range is in one

  static inline Heap* the_heap = nullptr;
  std::mutex mutex;
  Blocks blocks;
  std::set<std::pair<size_t, char*>> holes;
  int64_t used = 0, reach = 0;  // bytes that tensors have now, and how far into the range any has come
  char *begin, *end;

  Heap(char* range, size_t size) : blocks{{range, {size, true}}}, holes{{size, range}}, begin(range), end(range + size) {}

  static Heap* make() {
    const size_t size = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    void* range = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return nullptr;
    madvise(range, size, MADV_HUGEPAGE);
    return the_heap = new Heap(static_cast<char*>(range), size);
  }

  void* take(size_t n) {
    n = (n + kAlign - 1) / kAlign * kAlign;
    std::lock_guard<std::mutex> lock(mutex);
    const auto hole = holes.lower_bound({n, nullptr});
    if (hole == holes.end()) return nullptr;
    const auto [size, at] = *hole;
    holes.erase(hole);
    blocks[at] = {n, false};
    if (size > n) add_hole(at + n, size - n);
    used += (int64_t)n;
    reach = std::max<int64_t>(reach, at + n - begin);
    return at;
  }

  void add_hole(char* at, size_t size) {
    blocks[at] = {size, true};
    holes.insert({size, at});
  }

  // absorb takes a hole that lies beside at out of the list; it gives its size.
  size_t absorb(Blocks::iterator hole) {
    const size_t size = hole->second.size;
    holes.erase({size, hole->first});
    blocks.erase(hole);
    return size;
  }

  void put(char* at) {
    std::lock_guard<std::mutex> lock(mutex);
    auto block = blocks.find(at);
    size_t size = block->second.size;
    used -= (int64_t)size;
    if (const auto next = std::next(block); next != blocks.end() && next->second.free) size += absorb(next);
    if (block != blocks.begin()) {
      if (const auto before = std::prev(block); before->second.free) {
        at = before->first;
        size += absorb(before);
      }
    }
    blocks.erase(block);
    add_hole(at, size);
  }

  static void give_back(void* p) {
    char* at = static_cast<char*>(p);
    if (at >= the_heap->begin && at < the_heap->end)
      the_heap->put(at);
    else
      c10::free_cpu(p);
  }
};

}  // namespace

int graft_own_heap(void) { return Heap::install(); }
void graft_heap(int64_t* in_use, int64_t* reach) { Heap::measure(in_use, reach); }
