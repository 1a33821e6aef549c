// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/health"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	want := Default()
	want.LeaderElection.RetryPeriod = seconds(1)
	want.Log.Level = "debug"
	want.Concurrency["TrainingJob"] = 8
	want.Namespaces = []string{"team-a"}
	want.Healing.Conditions, want.Healing.Taints = []string{"Gpu*"}, []string{}
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "leaderElection: {retryPeriod: 1s}\nlog: {level: debug}\nconcurrency: {TrainingJob: 8}\nnamespaces: [team-a]\n" +
		"healing: {conditions: [\"Gpu*\"], taints: []}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
	if got, err := Load(""); err != nil || !cmp.Equal(Default(), got) {
		t.Errorf("Load of no file = %v, %v; want the defaults", got, err)
	}
	if _, err := Load(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		// want are parts of the message; the field is one of them.
		want []string
	}{
		"an unknown field":              {"metrics: {where: x}", []string{"unknown field", "metrics.where"}},
		"an unknown section":            {"webhooks: {}", []string{"unknown field", "webhooks"}},
		"a field in the wrong case":     {"Log: {level: info}", []string{"unknown field", "Log"}},
		"a field twice":                 {"log: {level: info, level: debug}", []string{"level"}},
		"a number for a duration":       {"gracefulShutdownTimeout: 20", []string{"gracefulShutdownTimeout", "number"}},
		"a duration without a unit":     {"gracefulShutdownTimeout: \"20\"", []string{"missing unit"}},
		"no time to shut down":          {"gracefulShutdownTimeout: 0s", []string{"gracefulShutdownTimeout"}},
		"a lease shorter than a try":    {"leaderElection: {leaseDuration: 5s}", []string{"leaderElection.leaseDuration", "renewDeadline"}},
		"a deadline of one try":         {"leaderElection: {retryPeriod: 10s}", []string{"leaderElection.renewDeadline", "retryPeriod"}},
		"no retry period":               {"leaderElection: {retryPeriod: 0s}", []string{"leaderElection.retryPeriod"}},
		"a bad lease name":              {"leaderElection: {name: Mill Race}", []string{"leaderElection.name"}},
		"a bad lease namespace":         {"leaderElection: {namespace: A.b}", []string{"leaderElection.namespace"}},
		"an address without a port":     {"health: {bindAddress: localhost}", []string{"health.bindAddress", "host:port"}},
		"a port out of range":           {"pprof: {bindAddress: \":70000\"}", []string{"pprof.bindAddress", "65535"}},
		"two endpoints on one port":     {"pprof: {bindAddress: \"127.0.0.1:8081\"}", []string{"pprof.bindAddress", "health.bindAddress"}},
		"a scheme there is not":         {"metrics: {scheme: ftp}", []string{"metrics.scheme", "https"}},
		"certificates for plain http":   {"metrics: {scheme: http, certDir: /certs}", []string{"metrics.certDir"}},
		"a log level there is not":      {"log: {level: loud}", []string{"log.level", "debug"}},
		"a log level too high":          {"log: {level: \"11\"}", []string{"log.level", "10"}},
		"a log format there is not":     {"log: {format: xml}", []string{"log.format", "json"}},
		"a kind there is not":           {"concurrency: {Toaster: 1}", []string{"concurrency[Toaster]", "TrainingJob"}},
		"a gang scheduler there is not": {"gang: {scheduler: Kube}", []string{"gang.scheduler", "Volcano"}},
		"a name for nobody":             {"gang: {schedulerNames: {Kube: a}}", []string{"gang.schedulerNames[Kube]", "Coscheduling"}},
		"a scheduler without a name":    {"gang: {schedulerNames: {Coscheduling: \"\"}}", []string{"gang.schedulerNames[Coscheduling]"}},
		"no worker for a kind":          {"concurrency: {TrainingJob: 0}", []string{"concurrency[TrainingJob]", "1 to 1000"}},
		"a bad namespace":               {"namespaces: [ok, Not_ok]", []string{"namespaces[1]"}},
		"a namespace twice":             {"namespaces: [a, a]", []string{"namespaces[1]", "Duplicate"}},
		"no type of a condition":        {"healing: {conditions: [\"=True\"]}", []string{"healing.conditions[0]", "KernelDeadlock"}},
		"a condition for the kubelet":   {"healing: {conditions: [KernelDeadlock, Ready]}", []string{"healing.conditions[1]", "notReadyAfter"}},
		"a pattern of that condition":   {"healing: {conditions: [\"*Ready\", \"*\"]}", []string{"healing.conditions[0]", "healing.conditions[1]", "notReadyAfter"}},
		"a condition's odd status":      {"healing: {conditions: [A=No]}", []string{"healing.conditions[0]", "=False"}},
		"a bad pattern of a taint":      {"healing: {taints: [\"a[\"]}", []string{"healing.taints[0]", "example.com"}},
		"cordoning now and then":        {"healing: {cordon: Maybe}", []string{"healing.cordon", "Never", "Allow"}},
		"cordoning without healing":     {"healing: {cordon: Allow, enabled: false}", []string{"healing.cordon", "enabled"}},
		"cordoning no node":             {"healing: {maxCordonedPercent: 0}", []string{"healing.maxCordonedPercent", "1 to 100"}},
		"no patience with a kubelet":    {"healing: {notReadyAfter: 0s}", []string{"healing.notReadyAfter"}},
		"no manager":                    {"replicas: 0", []string{"replicas", "1 or more"}},
		"SQLite for two managers":       {"replicas: 2", []string{"store.dsn", "MySQL", "millrace-store"}},
		"a database there is not":       {"store: {dsn: \"oracle:x\"}", []string{"store.dsn", "postgres:"}},
		"a DSN's file of nowhere":       {"store: {dsnFile: dsn}", []string{"store.dsnFile", "absolute"}},
		"no retention":                  {"store: {retention: 1m}", []string{"store.retention", "an hour"}},
		"no values":                     {"store: {values: 0, valuesPerMetric: -1}", []string{"store.values:", "store.valuesPerMetric"}},
		"the port of another":           {"server: {bindAddress: \":8443\"}", []string{"server.bindAddress", "metrics.bindAddress"}},
		"a bad namespace of the server": {"server: {namespace: A.b}", []string{"server.namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse([]byte(tc.file))
			if err == nil {
				err = c.Validate()
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not contain %q", err, part)
				}
			}
		})
	}
}

// The Secret with the DSN overrides the file; no message repeats the password in it.
func TestTheDSNIsReadFromItsFile(t *testing.T) {
	dir := t.TempDir()
	dsn, file := filepath.Join(dir, "dsn"), filepath.Join(dir, "config.yaml")
	for path, text := range map[string]string{dsn: "mysql:u:geheim@tcp(db:3306)/x\n", file: "replicas: 2\nstore: {dsnFile: " + dsn + "}"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(file)
	if err != nil || c.Store.DSN != "mysql:u:geheim@tcp(db:3306)/x" || c.Validate() != nil {
		t.Errorf("the DSN is %q, %v", c.Store.DSN, err)
	}
	if err := os.WriteFile(dsn, []byte("oracle:geheim"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("Validate() = %v", err)
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	c, err := parse([]byte("log: {level: loud}\nmetrics: {scheme: ftp}\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Validate()
	if err == nil || !strings.Contains(err.Error(), "log.level") || !strings.Contains(err.Error(), "metrics.scheme") {
		t.Errorf("Validate() = %v, want both mistakes", err)
	}
}

func TestValidAsWell(t *testing.T) {
	for name, file := range map[string]string{
		"an empty file":                           "",
		"two managers with a database":            "replicas: 2\nstore: {dsn: \"postgres://u:p@db/x\"}",
		"leases nobody reads":                     "leaderElection: {enabled: false, leaseDuration: 1s}",
		"endpoints that are off":                  "metrics: {bindAddress: \"\"}\nhealth: {bindAddress: \"\"}",
		"free ports":                              "metrics: {bindAddress: \"127.0.0.1:0\"}\nhealth: {bindAddress: \"127.0.0.1:0\"}",
		"a level as a number":                     "log: {level: \"4\"}",
		"a self-made certificate by another name": "metrics: {certDir: /etc/millrace/certs}",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse([]byte(file))
			if err == nil {
				err = c.Validate()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHealingPolicy(t *testing.T) {
	if diff := cmp.Diff(health.Default(), Default().Healing.Policy()); diff != "" {
		t.Errorf("the default policy (-want +got):\n%s", diff)
	}
	if !(Healing{}).Policy().Off {
		t.Error("healing that is not enabled is on")
	}
}

func TestManagerOptions(t *testing.T) {
	c := Default()
	o := c.Manager(cache.Options{})
	if !o.Metrics.SecureServing || o.Metrics.FilterProvider == nil {
		t.Error("metrics are open to everybody by default")
	}
	if o.PprofBindAddress != "0" {
		t.Errorf("pprof listens on %q by default", o.PprofBindAddress)
	}
	if !o.LeaderElection || !o.LeaderElectionReleaseOnCancel || *o.LeaseDuration != 15*time.Second {
		t.Error("no leader election with a released Lease by default")
	}
	if got := o.Controller.GroupKindConcurrency["TrainingJob.millrace.dev"]; got != 32 {
		t.Errorf("concurrency = %d, want 32", got)
	}
	if !*o.Client.Cache.EnableReadYourWritesConsistency || len(o.Cache.DefaultNamespaces) > 0 {
		t.Error("not all namespaces are watched, with reads that see our writes, by default")
	}
	c.Namespaces = []string{"a", "b"}
	c.Metrics.Scheme = "http"
	o = c.Manager(cache.Options{})
	if *o.Client.Cache.EnableReadYourWritesConsistency || len(o.Cache.DefaultNamespaces) != 2 {
		t.Error("two namespaces are not watched, or with consistency that does not work there")
	}
	if o.Metrics.SecureServing || o.Metrics.FilterProvider != nil {
		t.Error("scheme http serves https")
	}
}

func TestLog(t *testing.T) {
	for level, want := range map[string]zapcore.Level{
		"error": zapcore.ErrorLevel, "info": zapcore.InfoLevel, "debug": zapcore.DebugLevel, "0": zapcore.InfoLevel, "4": -4,
	} {
		t.Run(level, func(t *testing.T) {
			var o zap.Options
			for _, opt := range (Log{Level: level, Format: "json"}).Zap() {
				opt(&o)
			}
			if !o.Level.Enabled(want) || o.Level.Enabled(want-1) {
				t.Errorf("level %s does not begin at %v", level, want)
			}
		})
	}
}

func TestGangSettings(t *testing.T) {
	c, err := parse([]byte("gang: {scheduler: Guard, schedulerNames: {Coscheduling: gangs}}"))
	if err != nil || c.Validate() != nil {
		t.Fatal(err, c.Validate())
	}
	row, _ := gang.Find(v1alpha1.GangCoscheduling)
	got := c.Gang.Settings()
	if got.Scheduler != v1alpha1.GangGuard || got.SchedulerName(row) != "gangs" {
		t.Errorf("got %+v", got)
	}
}
