// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/internal/store"
)

// Store is the database with the metrics of trials.
type Store struct {
	// DSN is sqlite:/absolute/path, mysql:user:password@tcp(host:3306)/database or postgres://user:password@host:5432/database.
	DSN string `json:"dsn"`
	// DSNFile is a file, of a Secret, that holds the DSN and overrides it. It need not exist.
	DSNFile string `json:"dsnFile"`
	// Retention is how long metrics are kept after their trial fell silent.
	Retention metav1.Duration `json:"retention"`
	// Values is how many values are kept at all, ValuesPerNamespace of one namespace, and ValuesPerMetric of one metric of a trial.
	Values             int64 `json:"values"`
	ValuesPerNamespace int64 `json:"valuesPerNamespace"`
	ValuesPerMetric    int64 `json:"valuesPerMetric"`
}

// Server is the HTTP server that trials push metrics to.
type Server struct {
	// BindAddress is where it listens; off when empty.
	BindAddress string `json:"bindAddress"`
	// Namespace is that of the manager's Service and of the Secret with its CA. An empty one is the manager's own.
	Namespace string `json:"namespace"`
}

// Launcher is the helper inside users' pods.
type Launcher struct {
	// Image has /launcher. An empty one is the manager's own.
	Image string `json:"image"`
}

func defaultStore() Store {
	limits := store.DefaultLimits()
	return Store{
		DSN: "sqlite:/var/lib/millrace/metrics.db", DSNFile: "/etc/millrace-store/dsn",
		Retention: metav1.Duration{Duration: limits.Age}, Values: limits.Total, ValuesPerNamespace: limits.PerNamespace, ValuesPerMetric: limits.PerMetric,
	}
}

// Limits are the bounds as the store takes them.
func (s Store) Limits() store.Limits {
	limits := store.DefaultLimits()
	limits.Age, limits.Total, limits.PerNamespace, limits.PerMetric = s.Retention.Duration, s.Values, s.ValuesPerNamespace, s.ValuesPerMetric
	return limits
}

// read takes the DSN from its file when there is one.
func (s *Store) read() error {
	if s.DSNFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.DSNFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading store.dsnFile: %w", err)
	}
	s.DSN = strings.TrimSpace(string(text))
	return nil
}

// validate never repeats the DSN, which holds a password.
func (s Store) validate(path *field.Path, replicas int) field.ErrorList {
	var all field.ErrorList
	hidden := func(text string) { all = append(all, field.Invalid(path.Child("dsn"), field.OmitValueType{}, text)) }
	if err := store.CheckDSN(s.DSN); err != nil {
		hidden(err.Error())
	} else if replicas > 1 && !store.Shared(s.DSN) {
		hidden("SQLite is for one manager: with replicas above 1, put the DSN of MySQL or PostgreSQL into the Secret millrace-store")
	}
	if s.DSNFile != "" && !filepath.IsAbs(s.DSNFile) {
		all = append(all, field.Invalid(path.Child("dsnFile"), s.DSNFile, "must be an absolute path"))
	}
	if s.Retention.Duration < time.Hour {
		all = append(all, field.Invalid(path.Child("retention"), s.Retention.String(), "must be an hour or more"))
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"values", s.Values}, {"valuesPerNamespace", s.ValuesPerNamespace}, {"valuesPerMetric", s.ValuesPerMetric}} {
		if n.value < 1 {
			all = append(all, field.Invalid(path.Child(n.name), n.value, "must be above zero"))
		}
	}
	return all
}

func (s Server) validate(path *field.Path) field.ErrorList {
	all := address(path.Child("bindAddress"), s.BindAddress)
	if s.Namespace != "" {
		all = append(all, namespace(path.Child("namespace"), s.Namespace)...)
	}
	return all
}

func atLeastOne(path *field.Path, n int) field.ErrorList {
	if n >= 1 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, n, "must be 1 or more")}
}
