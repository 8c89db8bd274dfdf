// Everything the host may call. Pointers are addresses in the one memory; nothing is allocated and nothing
// imported.
export { edwards_nonce_sum } from './edwards'
export { scalar_invert } from './invert'
export { ote_check, poly_hash_columns, poly_hash_rows } from './poly-hash'
export { ote_mask_rows, ote_select_rows, tccr_expand, tccr_finish, transpose, xor_block } from './rows'
export { choice_sum, dot, rvole_apply, rvole_combine, rvole_correct, to_montgomery_limbs } from './rvole'
export {
  is_zero, scalar_add, scalar_high, scalar_mul, scalar_negate, scalar_reduce, scalar_reduce_wide,
  scalar_sub, scalars_canonical,
} from './scalar'
