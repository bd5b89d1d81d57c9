#!/usr/bin/env python3
"""Copies kernels/ with one line changed: a fault that the emulation must find.

usage: plant_fault.py NAME SOURCES OUTPUT      writes OUTPUT/kernels/**
"""
import pathlib
import sys

# name: file, the line as it is, the line with the fault
FAULTS = {
    'missing_lane': (
        'common/warp.h',
        '      value += __shfl_xor_sync(0xffffffffu, value, offset);',
        '      if (lane_ != 7) value += __shfl_xor_sync(0xffffffffu, value, offset);'),
    'one_lane_too_many': (
        'common/warp.h',
        '    if (lane_ < count) p[lane_] = value;',
        '    if (lane_ <= count) p[lane_] = value;'),
    'two_lanes_write': (
        'common/warp.h',
        '    if (lane_ == 0) *p = value;',
        '    if (lane_ <= 1) *p = value;'),
    'missing_barrier': (
        'common/team.h',
        '      __syncthreads();  // whoever still reads the sums before these',
        ''),
    'divergent_barrier': (
        'common/team.h',
        '      __syncthreads();  // whoever still reads the sums before these',
        '      if (threadIdx.x < 32) __syncthreads();'),
    'one_group_too_many': (
        'group_advantage/group_advantage_cuda.cu',
        '  if (group < params.num_groups) group_advantage_body(params, group);',
        '  if (group <= params.num_groups) group_advantage_body(params, group);'),
    'stride_unchecked': (
        'layers/rms_norm_cuda.cu',
        '  return params.width % kWidestPack<T> == 0 && params.x.stride % kWidestPack<T> == 0 &&',
        '  return params.width % kWidestPack<T> == 0 &&'),
}


def main():
    name, sources, output = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    changed, before, after = FAULTS[name]
    for path in sorted(sources.rglob('*')):
        if path.suffix not in ('.h', '.cu'):
            continue
        text, relative = path.read_text(), path.relative_to(sources)
        if relative.as_posix() == changed:
            if text.count(before + '\n') != 1:
                sys.exit(f'plant_fault.py: {changed} does not hold this line once, change the fault with it:\n{before}')
            text = text.replace(before + '\n', after + '\n')
        target = output / 'kernels' / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == '__main__':
    main()
