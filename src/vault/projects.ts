import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonValue } from './canonical-json.ts'
import { etagOf, requireEtag } from './settings.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { isUniqueViolation } from './sqlite-errors.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

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

/** As a project is made. A row that says this says nothing that could be forged, and needs no MAC. */
const BLANK = { settings: '{}', state: 'ACTIVE' }

type Guarded = Pick<Row, 'project_id' | 'settings' | 'state' | 'revision'>

const isBlank = (row: Guarded): boolean => row.settings === BLANK.settings && row.state === BLANK.state

const macItems = (row: Guarded) => [row.project_id, row.state, row.settings, u64(row.revision)]

const findMac = (reader: Reader, projectId: string): Buffer | undefined =>
  reader.one<{ mac: Buffer }>('SELECT mac FROM project_macs WHERE project = ?', projectId)?.mac

/** What a project's settings say decides who signs in to it and whether they may be acted for: no one else sets them. */
const requireUntouched = (reader: Reader, row: Row): void => {
  const mac = findMac(reader, row.project_id)
  if (mac !== undefined) requireRowMac(reader, 'projects', macItems(row), mac)
  else if (!isBlank(row)) throw failure('VAULT_CORRUPT', { where: 'projects row' })
}

/** Puts the row under a MAC, and that into the state index: settings put back to what they were are noticed. */
const guard = (tx: Tx, row: Guarded, nowMs: number): void => {
  const before = findMac(tx, row.project_id)
  if (before === undefined && isBlank(row)) return
  const mac = rowMac(tx, 'projects', macItems(row))
  const leaf = (of: Buffer) => rowLeaf(tx, 'project_macs', [row.project_id, of])
  moveStateIndex(tx, {
    timeMs: nowMs,
    subject: { type: 'project', id: row.project_id },
    removed: before === undefined ? [] : [leaf(before)],
    added: [leaf(mac)],
    details: { revision: String(row.revision) },
  })
  tx.run('INSERT OR REPLACE INTO project_macs (project, mac) VALUES (?, ?)', row.project_id, mac)
}

const toProject = (reader: Reader, row: Row): Project => {
  requireUntouched(reader, row)
  return {
    projectId: row.project_id as ProjectId,
    name: row.name,
    state: row.state as ProjectState,
    settings: JSON.parse(row.settings) as JsonValue,
    etag: etagOf(row.revision),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
  }
}

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
    const settings = canonicalJson(project.settings ?? {})
    guard(tx, { project_id: project.projectId, state: 'ACTIVE', settings, revision: 1n }, project.nowMs)
  } catch (error) {
    if (isUniqueViolation(error)) throw failure('PROJECT_ALREADY_EXISTS', { projectId: project.projectId })
    throw error
  }
  return requireProject(tx, project.projectId)
}

export const getProject = (reader: Reader, projectId: ProjectId): Project | undefined => {
  const row = reader.one<Row>('SELECT * FROM projects WHERE project_id = ?', projectId)
  return row && toProject(reader, row)
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
    .map((row) => toProject(reader, row))

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
  requireUntouched(tx, row)
  requireEtag('project', row.revision, at.etag)
  const next = {
    project_id: projectId,
    state: change.state ?? row.state,
    settings: change.settings === undefined ? row.settings : canonicalJson(change.settings),
    revision: row.revision + 1n,
  }
  tx.run(
    'UPDATE projects SET name = ?, state = ?, settings = ?, revision = ?, update_ms = ? WHERE project_id = ?',
    change.name ?? row.name, next.state, next.settings, next.revision, at.nowMs, projectId,
  )
  guard(tx, next, at.nowMs)
  return requireProject(tx, projectId)
}
