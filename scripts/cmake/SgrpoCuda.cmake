# CUDA link mode: nvcc 13 and the CUDA libraries of the torch wheel. Needs no GPU to configure or build.
# A toolkit made of wheels (scripts/setup.sh --cuda) is used where no nvcc >= 13 is on PATH or in CUDA_HOME.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(SGRPO_PATH_NVCC nvcc)
  foreach(nvcc IN ITEMS $ENV{CUDA_HOME}/bin/nvcc /usr/local/cuda/bin/nvcc ${SGRPO_PATH_NVCC}
                        ${SGRPO_TORCH_PREFIX}/nvidia/cu13/bin/nvcc)
    if(EXISTS ${nvcc} AND NOT CMAKE_CUDA_COMPILER)
      execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE version ERROR_QUIET)
      if(version MATCHES "release ([0-9.]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 13.0)
        set(CMAKE_CUDA_COMPILER ${nvcc} CACHE FILEPATH "nvcc >= 13.0")
      endif()
    endif()
  endforeach()
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "no nvcc >= 13.0 in CUDA_HOME, /usr/local/cuda, on PATH or among the wheels: "
            "run scripts/setup.sh --cuda")
  endif()
endif()

# CMake must not look for a GPU; torch sets the architectures by its own list below.
set(CMAKE_CUDA_ARCHITECTURES 90a)
enable_language(CUDA)
unset(CMAKE_CUDA_ARCHITECTURES)
unset(CMAKE_CUDA_ARCHITECTURES CACHE)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
  message(FATAL_ERROR "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is too old for torch ${SGRPO_TORCH_VERSION}, need 13.0")
endif()
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know CUDA20 for nvcc 13
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
endif()
set(CMAKE_CUDA_STANDARD 20)
# Code of 8.0 runs on all of Ampere and Ada, of 9.0 on Hopper; what is newer compiles the latter's PTX at first use.
set(TORCH_CUDA_ARCH_LIST "8.0;9.0+PTX" CACHE STRING "Architectures of device code, in torch's words")
# Torch's own search would take any nvcc on PATH: point it to the toolkit of the chosen one.
get_filename_component(CUDA_TOOLKIT_ROOT_DIR ${CMAKE_CUDA_COMPILER_TOOLKIT_ROOT} REALPATH)
set(CUDAToolkit_ROOT ${CUDA_TOOLKIT_ROOT_DIR})
list(APPEND CMAKE_PREFIX_PATH ${SGRPO_TORCH_PREFIX}/torch)
find_package(Torch REQUIRED)
set(CMAKE_CUDA_ARCHITECTURES OFF)  # the list above is in CMAKE_CUDA_FLAGS already
set(CMAKE_BUILD_RPATH ${SGRPO_TORCH_PREFIX}/torch/lib)
