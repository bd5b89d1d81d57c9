# Imported targets: sgrpo::torch (LibTorch) and Debian's libraries. scripts/setup.sh installs all of them.
set(SGRPO_TORCH_PREFIX ${PROJECT_SOURCE_DIR}/third_party/libtorch CACHE PATH
    "Folder that holds the unpacked torch wheel (torch/) and the NVIDIA wheels (nvidia/)")
set(SGRPO_TORCH_VERSION 2.11.0)

if(NOT EXISTS ${SGRPO_TORCH_PREFIX}/torch/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch not found under ${SGRPO_TORCH_PREFIX}: run scripts/setup.sh")
endif()
file(STRINGS ${SGRPO_TORCH_PREFIX}/torch/include/torch/headeronly/version.h _version_lines
     REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" _version_digits "${_version_lines}")
list(JOIN _version_digits "." _torch_version)
if(NOT _torch_version STREQUAL SGRPO_TORCH_VERSION)
  message(FATAL_ERROR "LibTorch ${_torch_version} under ${SGRPO_TORCH_PREFIX}, expected exactly "
          "${SGRPO_TORCH_VERSION} (no ABI promise across minors): run scripts/setup.sh")
endif()

add_library(sgrpo_torch INTERFACE)
add_library(sgrpo::torch ALIAS sgrpo_torch)
if(SGRPO_CUDA)
  include(SgrpoCuda)
  target_link_libraries(sgrpo_torch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(sgrpo_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
else()
  target_include_directories(sgrpo_torch SYSTEM INTERFACE
    ${SGRPO_TORCH_PREFIX}/torch/include ${SGRPO_TORCH_PREFIX}/torch/include/torch/csrc/api/include)
  target_link_libraries(sgrpo_torch INTERFACE
    ${SGRPO_TORCH_PREFIX}/torch/lib/libtorch_cpu.so ${SGRPO_TORCH_PREFIX}/torch/lib/libc10.so)
  # libtorch_cpu's own needs are found through its RPATH at run time; ld must not insist at link time.
  target_link_options(sgrpo_torch INTERFACE -Wl,--allow-shlib-undefined)
  set(CMAKE_BUILD_RPATH ${SGRPO_TORCH_PREFIX}/torch/lib)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
# OpenCV's CMake package would pull in all of libopencv-dev; the two libraries we use need no more than their path.
find_path(SGRPO_OPENCV_INCLUDE opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(sgrpo_opencv INTERFACE)
target_include_directories(sgrpo_opencv SYSTEM INTERFACE ${SGRPO_OPENCV_INCLUDE})
foreach(part IN ITEMS core imgcodecs)
  find_library(SGRPO_OPENCV_${part} opencv_${part} REQUIRED)
  target_link_libraries(sgrpo_opencv INTERFACE ${SGRPO_OPENCV_${part}})
endforeach()
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(TURBOJPEG REQUIRED IMPORTED_TARGET libturbojpeg)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
