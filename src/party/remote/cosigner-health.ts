/** grpc.health.v1 of a cosigner on a host of its own: SERVING while its vault is open, for whoever the listener lets in. */
import { create } from '@bufbuild/protobuf'
import { type ServerWritableStream, status } from '@grpc/grpc-js'
import { CosignerService } from '../../../gen/countersign/v1/cosigner_pb.ts'
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
} from '../../../gen/grpc/health/v1/health_pb.ts'

const SERVICES: ReadonlySet<string> = new Set(['', CosignerService.typeName])
const MAX_WATCHES = 32

export type Watch = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>

export class CosignerHealth {
  readonly #watches = new Set<Watch>()
  #isServing = true

  set(isServing: boolean): void {
    if (this.#isServing === isServing) return
    this.#isServing = isServing
    for (const watch of this.#watches) watch.write(this.#said(true))
  }

  /** Undefined for a service that is not here. */
  check({ service }: HealthCheckRequest): HealthCheckResponse | undefined {
    return SERVICES.has(service) ? this.#said(true) : undefined
  }

  /** A name that is not served is SERVICE_UNKNOWN, and hears nothing more. */
  watch(stream: Watch): void {
    stream.on('error', () => undefined)
    if (this.#watches.size >= MAX_WATCHES) {
      stream.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many watches' })
      return
    }
    const isKnown = SERVICES.has(stream.request.service)
    if (isKnown) this.#watches.add(stream)
    for (const event of ['cancelled', 'close', 'error']) stream.on(event, () => this.#watches.delete(stream))
    stream.write(this.#said(isKnown))
  }

  end(): void {
    this.set(false)
    for (const watch of this.#watches) watch.end()
    this.#watches.clear()
  }

  #said(isKnown: boolean): HealthCheckResponse {
    const known = this.#isServing ? Serving.SERVING : Serving.NOT_SERVING
    return create(HealthCheckResponseSchema, { status: isKnown ? known : Serving.SERVICE_UNKNOWN })
  }
}
