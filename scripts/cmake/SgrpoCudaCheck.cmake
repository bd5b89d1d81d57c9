# Target check_cuda_kernels: every kernels/**/*.cu compiles with nvcc alone - no torch, no GPU, no CUDA preset.
find_program(SGRPO_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin
             ${PROJECT_SOURCE_DIR}/third_party/libtorch/nvidia/cu13/bin)
file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu)
set(objects)
if(SGRPO_NVCC)
  foreach(kernel IN LISTS kernels)
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/kernels ${kernel})
    set(object ${PROJECT_BINARY_DIR}/cuda_check/${name}.o)
    get_filename_component(folder ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${SGRPO_NVCC} -std=c++20 -arch=sm_90a -O2 -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/kernels
              -MD -MF ${object}.d -c ${kernel} -o ${object}
      DEPENDS ${kernel} DEPFILE ${object}.d
      COMMENT "nvcc kernels/${name}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
endif()
add_custom_target(check_cuda_kernels DEPENDS ${objects})
