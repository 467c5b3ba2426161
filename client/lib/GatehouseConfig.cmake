# find_package(Gatehouse) gives Gatehouse::client, the C++ client library.
include(CMakeFindDependencyMacro)
find_dependency(OpenSSL 3)
find_dependency(Threads)
find_dependency(absl CONFIG)
find_dependency(Protobuf)
find_dependency(gRPC CONFIG)
include(${CMAKE_CURRENT_LIST_DIR}/GatehouseTargets.cmake)
