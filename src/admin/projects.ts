import type { Call } from '../domain/call.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { parseProjectId, type ProjectId } from '../domain/ids.ts'
import { type ProjectSettings, readSettings, storeSettings } from '../domain/project-settings.ts'
import { insertProject, listProjects as listStored, type Project, requireProject, updateProject as updateStored } from '../vault/projects.ts'
import { type AdminNeeds, recordChange } from './needs.ts'
import { changeSettings, type SettingsChange } from './project-changes.ts'

export type ProjectView = {
  readonly projectId: ProjectId
  readonly displayName: string
  readonly settings: ProjectSettings
  readonly createTimeMs: number
  readonly updateTimeMs: number
  readonly etag: string
}

const view = (project: Project): ProjectView => ({
  projectId: project.projectId,
  displayName: project.name,
  settings: readSettings(project.settings),
  createTimeMs: project.createMs,
  updateTimeMs: project.updateMs,
  etag: project.etag,
})

/** An id that cannot be a project's is one that no project has. */
export const requireProjectId = (text: string): ProjectId => {
  const projectId = parseProjectId(text)
  if (projectId === undefined) throw failure('PROJECT_NOT_FOUND', {})
  return projectId
}

export const createProject = (
  { vault, clock }: AdminNeeds,
  call: Call,
  args: { readonly projectId: string; readonly displayName: string },
): Promise<ProjectView> => {
  const projectId = parseProjectId(args.projectId)
  if (projectId === undefined) {
    throw invalidField('project_id', 'is malformed')
  }
  return vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    const project = insertProject(tx, { projectId, name: args.displayName, nowMs })
    const subject = { type: 'project', id: projectId }
    recordChange(tx, call, { timeMs: nowMs, kind: 'project.created', subject, project: projectId })
    return view(project)
  })
}

export const getProject = ({ vault }: AdminNeeds, args: { readonly projectId: string }): ProjectView =>
  view(requireProject(vault.read, requireProjectId(args.projectId)))

export const listProjects = (
  { vault }: AdminNeeds,
  args: { readonly pageSize: number; readonly cursor: string | undefined },
): { readonly items: readonly ProjectView[]; readonly nextCursor: string | undefined } => {
  const found = listStored(vault.read, args.cursor as ProjectId | undefined, args.pageSize + 1)
  const items = found.slice(0, args.pageSize)
  return { items: items.map(view), nextCursor: found.length > args.pageSize ? items.at(-1)?.projectId : undefined }
}

export const updateProject = (
  { vault, clock }: AdminNeeds,
  call: Call,
  args: {
    readonly projectId: string
    readonly etag: string | undefined
    readonly changes: { readonly displayName?: string } & SettingsChange
  },
): Promise<ProjectView> => {
  const projectId = requireProjectId(args.projectId)
  return vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    const { displayName, ...change } = args.changes
    const before = readSettings(requireProject(tx, projectId).settings)
    const settings = Object.keys(change).length === 0 ? undefined : storeSettings(changeSettings(vault, tx, projectId, before, change))
    const project = updateStored(tx, projectId, { name: displayName, settings }, { nowMs, etag: args.etag })
    const details = { changed: Object.keys(args.changes) }
    const subject = { type: 'project', id: projectId }
    recordChange(tx, call, { timeMs: nowMs, kind: 'project.updated', subject, project: projectId, details })
    return view(project)
  })
}
