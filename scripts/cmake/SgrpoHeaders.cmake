# Target check_headers: every public header compiles alone, twice in a row (include guard), without any
# precompiled header. Headers of torch-free rooms are compiled without LibTorch on the include path.
set(SGRPO_TORCH_FREE_HEADERS "^(core|config|telemetry|tokenizer|verifier)/|^types/(prompt_record|verdict|step_report)\\.h$")

file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include/sgrpo
     ${PROJECT_SOURCE_DIR}/include/sgrpo/*.h)
foreach(header IN LISTS headers)
  string(REPLACE "/" "_" unit ${header})
  set(unit ${PROJECT_BINARY_DIR}/headers/${unit}.cpp)
  file(CONFIGURE OUTPUT ${unit}
       CONTENT "#include \"sgrpo/@header@\"\n#include \"sgrpo/@header@\"  // NOLINT: the guard is under test\n"
       @ONLY)
  if(header MATCHES "${SGRPO_TORCH_FREE_HEADERS}")
    list(APPEND plain_units ${unit})
  else()
    list(APPEND torch_units ${unit})
  endif()
endforeach()

add_library(check_headers_plain OBJECT EXCLUDE_FROM_ALL ${plain_units})
target_link_libraries(check_headers_plain PRIVATE sgrpo_flags nlohmann_json::nlohmann_json)
add_library(check_headers_torch OBJECT EXCLUDE_FROM_ALL ${torch_units})
target_link_libraries(check_headers_torch PRIVATE sgrpo_flags sgrpo::torch nlohmann_json::nlohmann_json)
target_compile_options(check_headers_plain PRIVATE -O0)
target_compile_options(check_headers_torch PRIVATE -O0)
add_custom_target(check_headers DEPENDS check_headers_plain check_headers_torch)
