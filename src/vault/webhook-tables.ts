/**
 * Webhooks: who is told (`webhooks`, under a MAC; their secrets are secrets of the vault, `webhook:<id>`), what there is
 * to tell (`webhook_events`, the outbox, written in the transaction of what happened), and how far telling it has come
 * (`webhook_deliveries`, one row for each endpoint that hears of an event).
 */
export const WEBHOOK_TABLES = `
CREATE TABLE webhooks (
  number INTEGER PRIMARY KEY,
  webhook_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL REFERENCES projects (project_id),
  name TEXT NOT NULL,
  url TEXT NOT NULL,
  format TEXT NOT NULL CHECK (format IN ('COUNTERSIGN', 'CDP', 'DYNAMIC')),
  subscriptions TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'DISABLED', 'GONE', 'DELETED')),
  previous_until_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  update_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE INDEX webhooks_by_project ON webhooks (project, number);
CREATE INDEX webhooks_deleted ON webhooks (number) WHERE state = 'DELETED';

CREATE TABLE webhook_events (
  number INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE INDEX webhook_events_by_age ON webhook_events (time_ms);

CREATE TABLE webhook_deliveries (
  number INTEGER PRIMARY KEY,
  webhook INTEGER NOT NULL REFERENCES webhooks (number),
  event INTEGER NOT NULL REFERENCES webhook_events (number),
  state TEXT NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
  attempts INTEGER NOT NULL,
  round_attempts INTEGER NOT NULL,
  round INTEGER NOT NULL,
  next_attempt_ms INTEGER NOT NULL,
  last_attempt_ms INTEGER,
  last_status INTEGER,
  last_error TEXT NOT NULL,
  excerpt TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  UNIQUE (webhook, event)
) STRICT;
CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (event);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_attempt_ms, number) WHERE state = 'PENDING';
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (number) WHERE state = 'PENDING';
`
