// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations are the versions of the tables, from 1, forward only: what was released is never edited. Each statement is true when it
// runs twice, because MySQL ends a transaction with every change of a table. BYTES is a text that is compared byte by byte.
var migrations = [][]string{{
	`CREATE TABLE IF NOT EXISTS millrace_series (
		id BIGINT NOT NULL PRIMARY KEY,
		namespace BYTES NOT NULL, trial BYTES NOT NULL, uid BYTES NOT NULL, source BYTES NOT NULL, metric BYTES NOT NULL,
		kept BIGINT NOT NULL, told BIGINT NOT NULL, notfinite BIGINT NOT NULL,
		minimum DOUBLE PRECISION NULL, maximum DOUBLE PRECISION NULL,
		latest DOUBLE PRECISION NULL, special SMALLINT NOT NULL, latest_at BIGINT NOT NULL, latest_seq BIGINT NOT NULL,
		latest_step BIGINT NOT NULL, updated BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS millrace_samples (
		series BIGINT NOT NULL, at BIGINT NOT NULL, seq BIGINT NOT NULL,
		value DOUBLE PRECISION NULL, special SMALLINT NOT NULL, step BIGINT NOT NULL,
		PRIMARY KEY (series, at, seq))`,
	`CREATE TABLE IF NOT EXISTS millrace_streams (
		uid BYTES NOT NULL, source BYTES NOT NULL, at BIGINT NOT NULL, updated BIGINT NOT NULL,
		PRIMARY KEY (uid, source))`,
	`CREATE INDEX INDEXED millrace_series_uid ON millrace_series (uid)`,
	`CREATE INDEX INDEXED millrace_series_namespace ON millrace_series (namespace)`,
	`CREATE INDEX INDEXED millrace_series_updated ON millrace_series (updated)`,
}, {
	`CREATE TABLE IF NOT EXISTS millrace_trials (
		cluster BYTES NOT NULL, uid BYTES NOT NULL, namespace BYTES NOT NULL, trial BYTES NOT NULL,
		PRIMARY KEY (cluster, uid))`,
}}

// ready gives the database its tables, once. Managers that start at the same time wait for each other.
func (s *Store) ready(ctx context.Context) error {
	s.migrating.Lock()
	defer s.migrating.Unlock()
	if s.migrated {
		return nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("reaching the store: %w", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	if err := s.migrate(ctx, conn); err != nil {
		return fmt.Errorf("giving the store its tables: %w", err)
	}
	s.migrated = true
	return nil
}

func (s *Store) migrate(ctx context.Context, conn *sql.Conn) (err error) {
	unlock, err := s.lock(ctx, conn)
	if err != nil {
		return err
	}
	defer func() {
		if failed := unlock(err == nil); err == nil {
			err = failed
		}
	}()
	run := func(query string, args ...any) error {
		_, err := conn.ExecContext(ctx, s.dialect.bind(query), args...)
		return err
	}
	if err := run("CREATE TABLE IF NOT EXISTS millrace_schema (version BIGINT NOT NULL PRIMARY KEY)"); err != nil {
		return err
	}
	var have int
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM millrace_schema").Scan(&have); err != nil {
		return err
	}
	if have > len(migrations) {
		return fmt.Errorf("the tables are of version %d and this manager knows %d: it is older than the one that made them", have, len(migrations))
	}
	for version := have + 1; version <= len(migrations); version++ {
		for _, statement := range migrations[version-1] {
			if err := s.change(ctx, conn, statement); err != nil {
				return err
			}
		}
		if err := run("INSERT INTO millrace_schema (version) VALUES (?)", version); err != nil {
			return err
		}
	}
	return nil
}

// change runs one statement of a migration. MySQL has no CREATE INDEX IF NOT EXISTS; there, an index that exists is error 1061.
func (s *Store) change(ctx context.Context, conn *sql.Conn, statement string) error {
	_, err := conn.ExecContext(ctx, indexed(s.dialect, s.dialect.types.Replace(statement)))
	if mysqlCode(err, 1061) {
		return nil
	}
	return err
}

// lock holds other managers off until what it returns is called: with a transaction where that holds tables too, with a lock of the
// server's else. The argument says whether the work was done.
func (s *Store) lock(ctx context.Context, conn *sql.Conn) (func(done bool) error, error) {
	if s.dialect.lock == "" {
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return nil, err
		}
		return func(done bool) error {
			_, err := conn.ExecContext(context.WithoutCancel(ctx), map[bool]string{true: "COMMIT", false: "ROLLBACK"}[done])
			return err
		}, nil
	}
	var got any
	if err := conn.QueryRowContext(ctx, s.dialect.lock).Scan(&got); err != nil {
		return nil, err
	}
	return func(bool) error {
		return conn.QueryRowContext(context.WithoutCancel(ctx), s.dialect.unlock).Scan(&got)
	}, nil
}
