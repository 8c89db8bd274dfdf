import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonValue } from './canonical-json.ts'
import { etagOf, requireEtag } from './settings.ts'
import { isUniqueViolation } from './sqlite-errors.ts'
import type { Reader, Tx } from './store.ts'

export type ProjectState = 'ACTIVE' | 'DISABLED'

export type Project = {
  readonly projectId: ProjectId
  readonly name: string
  readonly state: ProjectState
  readonly settings: JsonValue
  readonly etag: string
  readonly createMs: number
  readonly updateMs: number
}

/** There from the start. */
export const DEFAULT_PROJECT = 'default' as ProjectId

type Row = {
  project_id: string
  name: string
  state: string
  settings: string
  revision: bigint
  create_ms: bigint
  update_ms: bigint
}

const toProject = (row: Row): Project => ({
  projectId: row.project_id as ProjectId,
  name: row.name,
  state: row.state as ProjectState,
  settings: JSON.parse(row.settings) as JsonValue,
  etag: etagOf(row.revision),
  createMs: Number(row.create_ms),
  updateMs: Number(row.update_ms),
})

export type NewProject = {
  readonly projectId: ProjectId
  readonly name: string
  readonly settings?: JsonValue | undefined
  readonly nowMs: number
}

/** Refuses with PROJECT_ALREADY_EXISTS. */
export const insertProject = (tx: Tx, project: NewProject): Project => {
  try {
    tx.run(
      `INSERT INTO projects (project_id, name, state, settings, revision, create_ms, update_ms)
       VALUES (?, ?, 'ACTIVE', ?, 1, ?, ?)`,
      project.projectId,
      project.name,
      canonicalJson(project.settings ?? {}),
      project.nowMs,
      project.nowMs,
    )
  } catch (error) {
    if (isUniqueViolation(error)) throw failure('PROJECT_ALREADY_EXISTS', { projectId: project.projectId })
    throw error
  }
  return requireProject(tx, project.projectId)
}

export const getProject = (reader: Reader, projectId: ProjectId): Project | undefined => {
  const row = reader.one<Row>('SELECT * FROM projects WHERE project_id = ?', projectId)
  return row && toProject(row)
}

/** Refuses with PROJECT_NOT_FOUND. */
export const requireProject = (reader: Reader, projectId: ProjectId): Project => {
  const project = getProject(reader, projectId)
  if (project === undefined) throw failure('PROJECT_NOT_FOUND', {})
  return project
}

/** In order of id, after `after`. */
export const listProjects = (reader: Reader, after: ProjectId | undefined, limit: number): Project[] =>
  reader
    .all<Row>('SELECT * FROM projects WHERE project_id > ? ORDER BY project_id LIMIT ?', after ?? '', limit)
    .map(toProject)

export type ProjectChange = {
  readonly name?: string | undefined
  readonly state?: ProjectState | undefined
  readonly settings?: JsonValue | undefined
}

/**
 * What is absent from `change` stays. Refuses: PROJECT_NOT_FOUND; ETAG_MISMATCH when `etag` is given and stale.
 */
export const updateProject = (
  tx: Tx,
  projectId: ProjectId,
  change: ProjectChange,
  at: { readonly nowMs: number; readonly etag?: string | undefined },
): Project => {
  const row = tx.one<Row>('SELECT * FROM projects WHERE project_id = ?', projectId)
  if (row === undefined) throw failure('PROJECT_NOT_FOUND', {})
  requireEtag('project', row.revision, at.etag)
  tx.run(
    `UPDATE projects SET name = ?, state = ?, settings = ?, revision = revision + 1, update_ms = ?
     WHERE project_id = ?`,
    change.name ?? row.name,
    change.state ?? row.state,
    change.settings === undefined ? row.settings : canonicalJson(change.settings),
    at.nowMs,
    projectId,
  )
  return requireProject(tx, projectId)
}
