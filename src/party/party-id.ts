/** A party's id, as the engine computes it for clients too. */
export { partyIdOf } from '../engine/sealing/import-key.ts'
