// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
)

// Trials are trials of the cluster of which something is kept, by UID, from after one on: so many at most, fewer only at the end.
func (s *Store) Trials(ctx context.Context, after string, most int) ([]Trial, error) {
	var found []Trial
	query := "SELECT uid, namespace, trial FROM millrace_trials WHERE cluster = ? AND uid > ? ORDER BY uid LIMIT ?"
	err := s.each(ctx, query, func(rows *sql.Rows) error {
		var t Trial
		err := rows.Scan(&t.UID, &t.Namespace, &t.Name)
		found = append(found, t)
		return err
	}, s.Cluster, after, most)
	return found, doing("listing trials", err)
}

// Delete forgets a trial, one series after another, so that nobody waits long for the database. It is not an error when nothing is
// known of it; one that fails in the middle is called again.
func (s *Store) Delete(ctx context.Context, trial Trial) error {
	var series []int64
	err := s.each(ctx, "SELECT id FROM millrace_series WHERE uid = ?", func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		series = append(series, id)
		return err
	}, trial.UID)
	for _, id := range series {
		if err == nil {
			of := []any{id}
			err = s.drop(ctx, query{"DELETE FROM millrace_samples WHERE series = ?", of}, query{"DELETE FROM millrace_series WHERE id = ?", of})
		}
	}
	if err == nil {
		err = s.drop(ctx, query{"DELETE FROM millrace_streams WHERE uid = ?", []any{trial.UID}},
			query{"DELETE FROM millrace_trials WHERE cluster = ? AND uid = ?", []any{s.Cluster, trial.UID}})
	}
	s.usage.forget(trial.Namespace)
	return doing("forgetting a trial", err)
}

// query is a statement and its parameters.
type query struct {
	text string
	args []any
}

// drop runs statements in a transaction.
func (s *Store) drop(ctx context.Context, queries ...query) error {
	return s.transact(ctx, "dropping metrics", func(tx *sql.Tx) error {
		for _, q := range queries {
			if _, err := tx.ExecContext(ctx, s.dialect.bind(q.text), q.args...); err != nil {
				return err
			}
		}
		return nil
	})
}
