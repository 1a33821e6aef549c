// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// fresh is how long a count of the values of a namespace is relied on: counting takes longer than writing.
const fresh = time.Minute

// usage is how many values namespaces have. It is an estimate: another manager may write too, and a transaction may be given up.
type usage struct {
	mu sync.Mutex
	of map[string]counted
}

type counted struct {
	values int64
	at     time.Time
}

func (u *usage) get(namespace string, now time.Time) (int64, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c, known := u.of[namespace]
	return c.values, known && now.Sub(c.at) < fresh
}

func (u *usage) set(namespace string, values int64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]counted{}
	}
	u.of[namespace] = counted{values, now}
}

func (u *usage) add(namespace string, values int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c, known := u.of[namespace]; known {
		u.of[namespace] = counted{c.values + values, c.at}
	}
}

func (u *usage) forget(namespace string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of, namespace)
}

// room is how many more values a metric may keep.
func (s *Store) room(ctx context.Context, tx *sql.Tx, namespace string, kept int64) (int64, error) {
	now := s.Clock.Now()
	used, known := s.usage.get(namespace, now)
	if !known {
		query := s.dialect.bind("SELECT COALESCE(SUM(kept), 0) FROM millrace_series WHERE namespace = ?")
		if err := tx.QueryRowContext(ctx, query, namespace).Scan(&used); err != nil {
			return 0, doing("counting the values of a namespace", err)
		}
		s.usage.set(namespace, used, now)
	}
	return max(0, min(s.Limits.PerMetric-kept, s.Limits.PerNamespace-used)), nil
}

// Prune drops series that were silent longer than Limits.Age, and the values of those that were silent longest while there are more
// than Limits.Total. Observations outlive their values. A trial of which nothing is left is not listed any more.
func (s *Store) Prune(ctx context.Context) error {
	old := []any{s.Clock.Now().Add(-s.Limits.Age).UnixNano()}
	if err := s.drop(ctx,
		query{"DELETE FROM millrace_samples WHERE series IN (SELECT id FROM millrace_series WHERE updated < ?)", old},
		query{"DELETE FROM millrace_series WHERE updated < ?", old},
		query{"DELETE FROM millrace_streams WHERE updated < ?", old},
		query{"DELETE FROM millrace_trials WHERE NOT EXISTS (SELECT 1 FROM millrace_series s WHERE s.uid = millrace_trials.uid)" +
			" AND NOT EXISTS (SELECT 1 FROM millrace_streams s WHERE s.uid = millrace_trials.uid)", nil},
	); err != nil {
		return err
	}
	var total int64
	if err := s.db.QueryRowContext(ctx, "SELECT COALESCE(SUM(kept), 0) FROM millrace_series").Scan(&total); err != nil {
		return doing("counting values", err)
	}
	for total > s.Limits.Total {
		var dropped int64
		if err := s.transact(ctx, "dropping values", func(tx *sql.Tx) (err error) {
			dropped, err = s.dropOldest(ctx, tx)
			return err
		}); err != nil {
			return err
		}
		total -= dropped
	}
	return nil
}

// dropOldest drops the values of the series that was silent longest, and returns how many.
func (s *Store) dropOldest(ctx context.Context, tx *sql.Tx) (int64, error) {
	var id, kept int64
	query := "SELECT id, kept FROM millrace_series WHERE kept > 0 ORDER BY updated, id LIMIT 1"
	if err := tx.QueryRowContext(ctx, query).Scan(&id, &kept); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, s.dialect.bind("DELETE FROM millrace_samples WHERE series = ?"), id); err != nil {
		return 0, err
	}
	_, err := tx.ExecContext(ctx, s.dialect.bind("UPDATE millrace_series SET kept = 0 WHERE id = ?"), id)
	return kept, err
}
