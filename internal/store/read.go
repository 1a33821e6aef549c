// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
)

// columns are the columns that scan reads.
const columns = "metric, kept, told, notfinite, minimum, maximum, latest, special, latest_at, latest_seq, latest_step"

// scan reads an observation and how many of its values are kept.
func scan(from interface{ Scan(...any) error }) (observe.Observation, int64, error) {
	var o observe.Observation
	var lowest, highest, latest sql.NullFloat64
	var kept, at int64
	var special int
	err := from.Scan(&o.Metric, &kept, &o.Count, &o.NotFinite, &lowest, &highest, &latest, &special, &at, &o.LatestSeq, &o.LatestStep)
	o.Min, o.Max, o.Latest, o.LatestAt = value(lowest, 0), value(highest, 0), value(latest, special), time.Unix(0, at).UTC()
	o.Dropped = o.Count - kept
	return o, kept, err
}

// each calls f with every row that a query finds.
func (s *Store) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, s.dialect.bind(query), args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := f(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Observe is what is known of every metric of a trial, over all its sources, by name.
func (s *Store) Observe(ctx context.Context, trial Trial) ([]observe.Observation, error) {
	var all []observe.Observation
	query := "SELECT " + columns + " FROM millrace_series WHERE uid = ? ORDER BY metric, source"
	err := s.each(ctx, query, func(rows *sql.Rows) error {
		o, _, err := scan(rows)
		if last := len(all) - 1; last >= 0 && all[last].Metric == o.Metric {
			all[last].Merge(o)
			return err
		}
		all = append(all, o)
		return err
	}, trial.UID)
	return all, doing("reading observations", err)
}

// Read is the last values of a metric, over all sources of the trial, oldest first. A limit of zero is all that are kept.
func (s *Store) Read(ctx context.Context, trial Trial, metric string, limit int) ([]observe.Sample, error) {
	if limit <= 0 {
		limit = int(s.Limits.PerNamespace)
	}
	var samples []observe.Sample
	query := `SELECT v.value, v.special, v.at, v.seq, v.step FROM millrace_samples v JOIN millrace_series s ON v.series = s.id
		WHERE s.uid = ? AND s.metric = ? ORDER BY v.at DESC, v.seq DESC LIMIT ?`
	err := s.each(ctx, query, func(rows *sql.Rows) error {
		var column sql.NullFloat64
		var special int
		var at int64
		sample := observe.Sample{Metric: metric}
		err := rows.Scan(&column, &special, &at, &sample.Seq, &sample.Step)
		sample.Value, sample.At = value(column, special), time.Unix(0, at).UTC()
		samples = append(samples, sample)
		return err
	}, trial.UID, metric, limit)
	slices.Reverse(samples)
	return samples, doing("reading samples", err)
}

// Mark records that everything of a source up to a time was kept. Call it after Append.
func (s *Store) Mark(ctx context.Context, series Series, at time.Time) error {
	return s.transact(ctx, "marking a source", func(tx *sql.Tx) error {
		now := s.Clock.Now().UnixNano()
		result, err := tx.ExecContext(ctx, s.dialect.bind("UPDATE millrace_streams SET at = ?, updated = ? WHERE uid = ? AND source = ?"),
			at.UnixNano(), now, series.Trial.UID, series.Source)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.dialect.bind("INSERT INTO millrace_streams (at, updated, uid, source) VALUES (?, ?, ?, ?)"),
			at.UnixNano(), now, series.Trial.UID, series.Source)
		if err != nil {
			return err
		}
		return s.enter(ctx, tx, series.Trial)
	})
}

// Resume is the time up to which a source was kept: the mark, or the last sample where that is later. The zero time when there is
// nothing. What is read again from there on changes nothing.
func (s *Store) Resume(ctx context.Context, series Series) (time.Time, error) {
	if err := s.ready(ctx); err != nil {
		return time.Time{}, err
	}
	var mark, last sql.NullInt64
	query := s.dialect.bind(`SELECT (SELECT MAX(at) FROM millrace_streams WHERE uid = ? AND source = ?),
		(SELECT MAX(latest_at) FROM millrace_series WHERE uid = ? AND source = ?)`)
	t := series.Trial.UID
	if err := s.db.QueryRowContext(ctx, query, t, series.Source, t, series.Source).Scan(&mark, &last); err != nil {
		return time.Time{}, doing("reading how far a source was kept", err)
	}
	if !mark.Valid && !last.Valid {
		return time.Time{}, nil
	}
	return time.Unix(0, max(mark.Int64, last.Int64)).UTC(), nil
}
