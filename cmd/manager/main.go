// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the controllers of Millrace. It reads a file (--config) and a few flags that override it, and
// runs until SIGTERM or SIGINT, or until it loses its Lease.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"
	_ "time/tzdata" // schedules name time zones, and the image has no files of them

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	clientconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/version"
)

func main() {
	err := run(ctrl.SetupSignalHandler(), os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg, err := configure(args)
	if err != nil {
		return err
	}
	log := zap.New(cfg.Log.Zap()...)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
	rc, err := restConfig()
	if err != nil {
		return err
	}
	mgr, err := newManager(ctx, rc, cfg)
	if err != nil {
		return err
	}
	log.Info("Starting", "version", version.String(), "apiServer", rc.Host, "namespaces", cfg.Namespaces)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	log.Info("Stopped")
	return nil
}

// restConfig has no client-side limit: API priority and fairness protects the server, and knows more.
func restConfig() (*rest.Config, error) {
	rc, err := clientconfig.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w", err)
	}
	rc.QPS = -1
	rc.UserAgent = "millrace-manager/" + version.String()
	return rc, nil
}

func newManager(ctx context.Context, rc *rest.Config, cfg config.Config) (ctrl.Manager, error) {
	scheme, err := controllers.Scheme()
	if err != nil {
		return nil, err
	}
	options := cfg.Manager(controllers.CacheOptions())
	options.Scheme = scheme
	mgr, err := ctrl.NewManager(rc, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", synced(mgr.GetCache())); err != nil {
		return nil, fmt.Errorf("adding the readiness check: %w", err)
	}
	metrics, err := measure(ctx, mgr, rc, cfg)
	if err != nil {
		return nil, err
	}
	return mgr, controllers.Setup(ctx, mgr, controllers.Options{
		Gangs: cfg.Gang.Settings(), Healing: cfg.Healing.Policy(), Profiles: cfg.Tenants(), Metrics: metrics,
		Notebooks: cfg.Notebooks(), Probing: cfg.Notebook.Probing(),
	})
}

// synced is ready once the caches are filled. A standby is ready too: its caches are.
func synced(caches cache.Cache) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), 500*time.Millisecond)
		defer cancel()
		if !caches.WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}
