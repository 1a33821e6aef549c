// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/store"
)

const (
	// looked is how many trials of the store are looked for at a tick.
	looked = 1000
	// dropped is how many are forgotten at a tick at most.
	dropped = 100
)

// Sweeper forgets the metrics of trials that are gone: no finalizer holds a Trial up for it, and one that was deleted while no
// manager ran is found too. It goes through the store a part at a time. What the cache does not have the API server is asked for
// before it is forgotten, because a cache may be late; nothing is asked while all trials are there.
type Sweeper struct {
	Store interface {
		Trials(ctx context.Context, after string, most int) ([]store.Trial, error)
		Delete(context.Context, store.Trial) error
	}
	// Cache has all Trials of Namespaces, or of all namespaces where there are none; Live is the API server itself.
	Cache, Live client.Reader
	Namespaces  []string

	after string
}

// Sweep looks for the next trials of the store, and begins anew behind the last.
func (s *Sweeper) Sweep(ctx context.Context) error {
	trials, err := s.Store.Trials(ctx, s.after, looked)
	if err != nil {
		return err
	}
	left := dropped
	for _, t := range trials {
		gone, err := s.gone(ctx, t)
		if err != nil {
			return err
		}
		if gone {
			if err := s.Store.Delete(ctx, t); err != nil {
				return err
			}
			left--
		}
		if s.after = t.UID; left == 0 {
			return nil
		}
	}
	if len(trials) < looked {
		s.after = ""
	}
	return nil
}

// gone is true of a trial that neither the cache nor the API server has: a UID never comes back. Other namespaces are not ours to judge.
func (s *Sweeper) gone(ctx context.Context, t store.Trial) (bool, error) {
	if len(s.Namespaces) > 0 && !slices.Contains(s.Namespaces, t.Namespace) {
		return false, nil
	}
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Trial"))
	for _, in := range []struct {
		client.Reader
		found client.Object
	}{{s.Cache, &v1alpha1.Trial{}}, {s.Live, live}} {
		err := in.Get(ctx, types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, in.found)
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("looking for the trial %s/%s: %w", t.Namespace, t.Name, err)
		}
		if err == nil && string(in.found.GetUID()) == t.UID {
			return false, nil
		}
	}
	return true, nil
}
