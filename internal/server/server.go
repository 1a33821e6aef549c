// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package server is the manager's one HTTP server for others than Prometheus and the kubelet. Today it takes metrics that trials push:
//
//	POST /v1/namespaces/{namespace}/trials/{trial}/metrics
//
//	pod ──token for millrace.dev──►  TokenReview ──►  its pod ──►  the pod's label names the trial: taken
//	                                      └── anybody else ──►  SubjectAccessReview: create trials/metrics
//
// It serves TLS with a CA that it makes itself. The CA is in a Secret beside the manager; its certificate is published as a ConfigMap
// to the namespaces that need it.
//
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// Options are what a Server is made of.
type Options struct {
	// Address is host:port to listen at.
	Address string
	// Namespace is the manager's: the Secret with the CA is there, and its Service.
	Namespace string
	// API is a client without a cache, and Cache reads pods and Trials, from a cache that a manager has whether it leads or not.
	API   kubernetes.Interface
	Cache client.Reader
	// Accept stores samples.
	Accept func(context.Context, store.Series, []observe.Sample) error
	// Rate is how many requests a namespace may make in a second on average, Burst how many at once.
	Rate  float64
	Burst int
	Clock clock.Clock
	Log   logr.Logger
}

// Server is a Runnable of every manager, the leader or not.
type Server struct {
	Options
	who   *reviewer
	rates *rates
	// listening is told the address once it is known.
	listening chan<- string
}

// DefaultRate and DefaultBurst are requests of a namespace: 300 trials that push twice a second.
const (
	DefaultRate  = 600
	DefaultBurst = 1200
)

// New makes a server.
func New(o Options) *Server {
	return &Server{Options: o, who: newReviewer(o.API, o.Clock), rates: newRates(o.Rate, o.Burst, o.Clock)}
}

// NeedLeaderElection is false: the Service leads to every manager.
func (s *Server) NeedLeaderElection() bool { return false }

const (
	// again is how long to wait before the CA is asked for again.
	again = 5 * time.Second
	// patience is how long a client may take with its request, and the API server or the store with its answer.
	patience = 10 * time.Second
	// farewell is how long requests under way may take at the end.
	farewell = 5 * time.Second
)

// Start serves until the context ends. While the CA cannot be had it is asked for again: without it nothing else of the manager
// has to stop.
func (s *Server) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		ca, err := LoadAuthority(ctx, s.API, s.Namespace, s.Clock)
		if err == nil {
			return s.serve(ctx, ca)
		}
		s.Log.Error(err, "The certificate of the server for metrics could not be had; it is tried again")
		select {
		case <-ctx.Done():
		case <-s.Clock.After(again):
		}
	}
	return nil
}

func (s *Server) serve(ctx context.Context, ca *Authority) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listening for metrics: %w", err)
	}
	if s.listening != nil {
		s.listening <- listener.Addr().String()
	}
	certificate := ca.Certificates(names.Server+"."+s.Namespace+".svc", names.Server+"."+s.Namespace+".svc.cluster.local")
	server := &http.Server{
		Handler: s.Handler(), ReadTimeout: patience, WriteTimeout: 3 * patience, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
		},
		ErrorLog: nil,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			s.Log.Error(err, "Requests were cut off")
		}
	})
	defer stop()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	<-ended
	return nil
}

// Handler answers requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/namespaces/{namespace}/trials/{trial}/metrics", s.metrics)
	return mux
}
