# Flags that every room shares. Dependencies are SYSTEM includes, so -Werror speaks of our own code only.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")

add_library(sgrpo_flags INTERFACE)
target_compile_options(sgrpo_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wconversion;-Wno-sign-conversion;-Werror>)
target_include_directories(sgrpo_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(SGRPO_SANITIZE)
  # The prebuilt LibTorch is not instrumented: container-overflow reports would be false.
  # Instrumented, g++ 12 sees uninitialised members inside its own <regex> and <functional>.
  target_compile_options(sgrpo_flags INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
                         -fno-sanitize-recover=undefined $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  target_link_options(sgrpo_flags INTERFACE -fsanitize=address,undefined)
endif()

find_program(SGRPO_CCACHE ccache)
if(SGRPO_CCACHE)
  # Precompiled headers need these settings, else every unit is a cache miss.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${SGRPO_CCACHE})
endif()
