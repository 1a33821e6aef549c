// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/collect"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/meter"
	"github.com/millrace-ml/millrace/internal/server"
	"github.com/millrace-ml/millrace/internal/store"
)

const (
	// prunes is how often old metrics are dropped, and sweeps how often those of trials that are gone are looked for.
	prunes, sweeps = time.Hour, 30 * time.Second
	// shared is how often what another manager was pushed is looked for.
	shared = 5 * time.Second
	// ownNamespace is where a pod finds the namespace it is in.
	ownNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// patience is how long to wait for the manager's own pod, and for the name of the cluster.
	patience = 10 * time.Second
)

// measure adds what fetches and takes the metrics of trials, and hands it to the controllers.
func measure(ctx context.Context, mgr ctrl.Manager, rc *rest.Config, cfg config.Config) (controllers.Metrics, error) {
	db, err := store.Open(ctx, cfg.Store.DSN)
	if err != nil {
		return controllers.Metrics{}, err
	}
	// A client of its own: a log is followed as long as its pod runs, and has no time-out.
	api, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return controllers.Metrics{}, fmt.Errorf("making a client: %w", err)
	}
	log := mgr.GetLogger().WithName("metrics")
	db.Limits = cfg.Store.Limits()
	if db.Cluster, err = cluster(ctx, api, log); err != nil {
		return controllers.Metrics{}, err
	}
	opts := collect.DefaultOptions()
	if cfg.Replicas > 1 {
		opts.Refresh = shared
	}
	collector := collect.New(db, api.CoreV1(), clock.RealClock{}, log, opts)
	m := controllers.Metrics{Meter: meter.New(collector), Launcher: cfg.Launcher.Image}
	err = errors.Join(mgr.Add(collector), mgr.Add(&store.Janitor{
		Do: db.Prune, Failed: "Old metrics could not be dropped", Ticks: time.Tick(prunes), Log: log,
	}))
	if db.Cluster != "" {
		gone := &meter.Sweeper{Store: db, Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespaces: cfg.Namespaces}
		err = errors.Join(err, mgr.Add(&store.Janitor{
			Do: gone.Sweep, Failed: "Metrics of trials that are gone could not be dropped", Ticks: time.Tick(sweeps), Log: log,
		}))
	}
	if err != nil {
		return controllers.Metrics{}, fmt.Errorf("adding the collector of metrics: %w", err)
	}
	namespace, err := home(cfg.Server.Namespace)
	if err != nil || namespace == "" || cfg.Server.BindAddress == "" {
		return m, err
	}
	m.Namespace = namespace
	if m.Launcher == "" {
		m.Launcher = ownImage(ctx, api, namespace)
	}
	m.Publisher = server.NewPublisher(api, mgr.GetClient(), namespace, clock.RealClock{}, log)
	serves := server.New(server.Options{
		Address: cfg.Server.BindAddress, Namespace: namespace, API: api, Cache: mgr.GetClient(), Accept: collector.Accept,
		Rate: server.DefaultRate, Burst: server.DefaultBurst, Clock: clock.RealClock{}, Log: log,
	})
	if err := errors.Join(mgr.Add(m.Publisher), mgr.Add(serves)); err != nil {
		return controllers.Metrics{}, fmt.Errorf("adding the server of metrics: %w", err)
	}
	return m, nil
}

// home is the namespace of the manager; empty when that is not said and the manager runs outside a cluster, where no pod could reach it.
func home(said string) (string, error) {
	if said != "" {
		return said, nil
	}
	text, err := os.ReadFile(ownNamespace)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the manager's namespace: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// cluster tells this cluster from others: the UID of a namespace that each has and nobody can delete. It is empty where the manager may
// not read it; metrics go by their age alone then.
func cluster(ctx context.Context, api kubernetes.Interface, log logr.Logger) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	namespace, err := api.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if apierrors.IsForbidden(err) {
		log.Info("Metrics of trials that are deleted stay for store.retention: for them to go at once allow the manager to get the namespace kube-system")
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("telling this cluster from others by its namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return string(namespace.UID), nil
}

// ownImage is the image of the manager's container, which has the launcher too; empty when it is not known, and trials that need the
// launcher say so.
func ownImage(ctx context.Context, api kubernetes.Interface, namespace string) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	pod, err := api.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == "manager" {
			return c.Image
		}
	}
	return ""
}
