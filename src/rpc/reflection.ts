/** gRPC server reflection, v1 and v1alpha, from the generated descriptors. */
import { toBinary } from '@bufbuild/protobuf'
import type { DescFile, DescService, MessageInitShape } from '@bufbuild/protobuf'
import { createRegistry } from '@bufbuild/protobuf'
import type { Registry } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { Code } from '@connectrpc/connect'
import type { ServiceImpl } from '@connectrpc/connect'
import type {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from '../../gen/grpc/reflection/v1/reflection_pb.ts'
import type {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequest as ServerReflectionRequestAlpha,
  ServerReflectionResponseSchema as ServerReflectionResponseSchemaAlpha,
} from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts'

/** A request of either version. */
type Request = ServerReflectionRequest | ServerReflectionRequestAlpha
type Response = MessageInitShape<typeof ServerReflectionResponseSchema>
type ResponseAlpha = MessageInitShape<typeof ServerReflectionResponseSchemaAlpha>
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>

const withDependencies = (file: DescFile, into: Set<DescFile> = new Set()): Set<DescFile> => {
  if (into.has(file)) return into
  for (const dependency of file.dependencies) withDependencies(dependency, into)
  return into.add(file)
}

const notFound = (what: string): Answer => ({
  case: 'errorResponse',
  value: { errorCode: Code.NotFound, errorMessage: `${what} is not known` },
})

/** The files a client needs for `file`, itself first. */
const describe = (file: DescFile): Answer => ({
  case: 'fileDescriptorResponse',
  value: {
    fileDescriptorProto: [file, ...[...withDependencies(file)].filter((other) => other !== file)].map(
      ({ proto }) => toBinary(FileDescriptorProtoSchema, proto),
    ),
  },
})

/** `a.b.Message`, `a.b.Service`, `a.b.Service.Method`, `a.b.Message.field` → the file that declares it. */
const fileOfSymbol = (registry: Registry, symbol: string): DescFile | undefined => {
  const found = registry.get(symbol) ?? registry.get(symbol.slice(0, Math.max(0, symbol.lastIndexOf('.'))))
  return found?.file
}

const answer = (
  { messageRequest: asked }: Request,
  serviceNames: readonly string[],
  files: ReadonlyMap<string, DescFile>,
  registry: Registry,
): Answer => {
  switch (asked.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: serviceNames.map((name) => ({ name })) } }
    case 'fileByFilename': {
      const file = files.get(asked.value)
      return file === undefined ? notFound('the file') : describe(file)
    }
    case 'fileContainingSymbol': {
      const file = fileOfSymbol(registry, asked.value)
      return file === undefined ? notFound('the symbol') : describe(file)
    }
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = asked.value
      const extendee = registry.getMessage(containingType)
      const extension = extendee === undefined ? undefined : registry.getExtensionFor(extendee, extensionNumber)
      return extension === undefined ? notFound('the extension') : describe(extension.file)
    }
    case 'allExtensionNumbersOfType':
      return registry.getMessage(asked.value) === undefined
        ? notFound('the type')
        : {
            case: 'allExtensionNumbersResponse',
            value: {
              baseTypeName: asked.value,
              extensionNumber: [...registry]
                .filter((type) => type.kind === 'extension' && type.extendee.typeName === asked.value)
                .map((type) => (type.kind === 'extension' ? type.number : 0)),
            },
          }
    case undefined:
      return {
        case: 'errorResponse',
        value: { errorCode: Code.InvalidArgument, errorMessage: 'nothing was asked' },
      }
  }
}

export type Reflection = {
  readonly v1: ServiceImpl<typeof ServerReflection>
  readonly v1alpha: ServiceImpl<typeof ServerReflectionAlpha>
}

/** Both versions of the service; they differ in nothing but their names. */
export const createReflection = (services: readonly DescService[]): Reflection => {
  const all = new Set<DescFile>()
  for (const { file } of services) withDependencies(file, all)
  const files = new Map([...all].map((file) => [file.proto.name, file]))
  const registry = createRegistry(...all)
  const serviceNames = services.map(({ typeName }) => typeName)
  async function* reflect<R extends Request>(requests: AsyncIterable<R>) {
    for await (const request of requests) {
      const messageResponse = answer(request, serviceNames, files, registry)
      yield { validHost: request.host, originalRequest: request, messageResponse }
    }
  }
  return {
    v1: { serverReflectionInfo: (requests) => reflect(requests) as AsyncIterable<Response> },
    v1alpha: { serverReflectionInfo: (requests) => reflect(requests) as AsyncIterable<ResponseAlpha> },
  }
}
