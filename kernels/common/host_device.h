// Marks functions that both the host compiler and nvcc take.
#pragma once

#ifdef __CUDACC__
#define SGRPO_HOST_DEVICE __host__ __device__
#else
#define SGRPO_HOST_DEVICE
#endif
