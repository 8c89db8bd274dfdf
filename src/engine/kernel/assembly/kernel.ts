// Everything the host may call. Pointers are addresses in the one memory; nothing is allocated and nothing imported.
export {
  is_zero, scalar_add, scalar_high, scalar_invert, scalar_mul, scalar_negate, scalar_reduce, scalar_reduce_wide,
  scalar_sub, scalars_canonical,
} from './scalar'
