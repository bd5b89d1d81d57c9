# A room = src/<name>/*.cpp as one OBJECT library (a STATIC one would drop self-registering objects).
#
#   sgrpo_room(<name> [TORCH] ROOMS <rooms it may include> [LIBRARIES <third party>])
#
# TORCH rooms share one precompiled header. Linking follows the include law of scripts/layers.txt.

file(WRITE ${PROJECT_BINARY_DIR}/pch/empty.cpp "")
add_library(sgrpo_pch_torch OBJECT ${PROJECT_BINARY_DIR}/pch/empty.cpp)
target_link_libraries(sgrpo_pch_torch PUBLIC sgrpo_flags sgrpo::torch)
target_precompile_headers(sgrpo_pch_torch PRIVATE
  <algorithm> <cmath> <cstdint> <filesystem> <functional> <memory> <optional> <sstream> <string>
  <string_view> <unordered_map> <vector> <ATen/ATen.h> <torch/csrc/autograd/custom_function.h>)

function(sgrpo_room name)
  cmake_parse_arguments(arg "TORCH" "" "ROOMS;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT SGRPO_CUDA)
    list(FILTER sources EXCLUDE REGEX "/cuda/")
  endif()
  if(NOT sources)
    file(WRITE ${PROJECT_BINARY_DIR}/pch/empty_${name}.cpp "")
    set(sources ${PROJECT_BINARY_DIR}/pch/empty_${name}.cpp)
  endif()
  add_library(sgrpo_${name} OBJECT ${sources})
  target_include_directories(sgrpo_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(sgrpo_${name} PUBLIC sgrpo_flags ${arg_LIBRARIES})
  foreach(room IN LISTS arg_ROOMS)
    target_link_libraries(sgrpo_${name} PUBLIC sgrpo_${room})
  endforeach()
  if(arg_TORCH)
    target_link_libraries(sgrpo_${name} PUBLIC sgrpo::torch)
    target_precompile_headers(sgrpo_${name} REUSE_FROM sgrpo_pch_torch)
  endif()
  set_property(GLOBAL APPEND PROPERTY SGRPO_ROOMS ${name})
  set_property(GLOBAL PROPERTY SGRPO_ROOMS_OF_${name} ${arg_ROOMS})
endfunction()

# Objects of an OBJECT library do not travel through a dependency: collect a room's closure by hand.
function(sgrpo_closure result)
  set(todo ${ARGN})
  set(seen)
  while(todo)
    list(POP_FRONT todo room)
    if(NOT room IN_LIST seen)
      list(APPEND seen ${room})
      get_property(needs GLOBAL PROPERTY SGRPO_ROOMS_OF_${room})
      list(APPEND todo ${needs})
    endif()
  endwhile()
  set(${result} ${seen} PARENT_SCOPE)
endfunction()

function(sgrpo_link_rooms target)
  sgrpo_closure(rooms ${ARGN})
  foreach(room IN LISTS rooms)
    target_link_libraries(${target} PRIVATE sgrpo_${room})
  endforeach()
endfunction()
