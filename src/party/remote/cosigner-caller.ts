/** The unary calls of a cosigner on a host of its own, by whoever it knows: its operator, or its daemon. */
import { create } from '@bufbuild/protobuf'
import { Client, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js'
import {
  CosignerServiceCreateBackupRequestSchema,
  CosignerServiceFreezeRequestSchema,
  CosignerServiceRotateVaultKeyRequestSchema,
  type CosignerServiceRotateVaultKeyResponse,
  CosignerServiceUnfreezeRequestSchema,
  GetInfoRequestSchema,
  type GetInfoResponse,
} from '../../../gen/countersign/v1/cosigner_pb.ts'
import type { Backup } from '../../../gen/countersign/v1/admin_pb.ts'
import { failure } from '../../domain/failure.ts'
import type { FreezeSubject } from '../../vault/freezes.ts'
import { type ClientIdentity, pinnedClient } from './channel-credentials.ts'
import { CLIENT_OPTIONS, COSIGNER_RPCS } from './cosigner-service.ts'
import { subjectToWire } from './freeze-words.ts'

const TIMEOUT_MS = 10_000
const CUSTODY_TIMEOUT_MS = 120_000

export class CosignerCaller {
  readonly #client: Client

  constructor(address: string, identity: ClientIdentity) {
    this.#client = new Client(address, pinnedClient(identity), CLIENT_OPTIONS)
  }

  info(): Promise<GetInfoResponse> {
    return this.#call(COSIGNER_RPCS.getInfo, create(GetInfoRequestSchema, {}))
  }

  async freeze(subject: FreezeSubject, note: string): Promise<void> {
    await this.#call(COSIGNER_RPCS.freeze, create(CosignerServiceFreezeRequestSchema, { ...subjectToWire(subject), note }))
  }

  /** Refuses with FREEZE_NOT_FOUND. */
  async unfreeze(subject: FreezeSubject): Promise<void> {
    const request = create(CosignerServiceUnfreezeRequestSchema, subjectToWire(subject))
    await this.#call(COSIGNER_RPCS.unfreeze, request).catch((error: ServiceError) => {
      throw error.code === status.NOT_FOUND ? failure('FREEZE_NOT_FOUND', subject) : error
    })
  }

  /** Refuses with BACKUP_NOT_CONFIGURED. */
  async backup(): Promise<Backup | undefined> {
    const request = create(CosignerServiceCreateBackupRequestSchema, {})
    const refuse = (error: ServiceError): never => {
      const isMissing = error.code === status.FAILED_PRECONDITION
      throw isMissing ? failure('BACKUP_NOT_CONFIGURED', { missing: 'cosigner_backup_recipient' }) : error
    }
    return (await this.#call(COSIGNER_RPCS.createBackup, request, CUSTODY_TIMEOUT_MS).catch(refuse)).backup
  }

  rotateKey(): Promise<CosignerServiceRotateVaultKeyResponse> {
    const request = create(CosignerServiceRotateVaultKeyRequestSchema, {})
    return this.#call(COSIGNER_RPCS.rotateVaultKey, request, CUSTODY_TIMEOUT_MS)
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }

  #call<I, O>(
    { path, requestSerialize, responseDeserialize }: MethodDefinition<I, O>,
    request: I,
    timeoutMs: number = TIMEOUT_MS,
  ): Promise<O> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + timeoutMs
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, (error, answer) => {
        if (answer !== undefined) resolve(answer)
        else if (error?.code === status.UNAVAILABLE) reject(failure('COSIGNER_UNAVAILABLE', { why: 'it cannot be reached' }))
        else reject(error ?? new Error('no answer'))
      })
    })
  }
}
