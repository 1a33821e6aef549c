// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/route"
)

// chosen is the kind of the notebook's route, or why there is none that is wanted.
func (s *state) chosen() (*route.Row, *route.Obstacle) {
	asked := s.asked()
	return route.Choose(asked.Kind, route.Route{Rewrite: asked.Rewrite, Headers: asked.RequestHeaders}, s.world.Settings.Route, s.world.Served)
}

func (s *state) asked() v1alpha1.NotebookRoute {
	if s.nb.Spec.Route == nil {
		return v1alpha1.NotebookRoute{}
	}
	return *s.nb.Spec.Route
}

// path is that below which the server is.
func (s *state) path() string { return names.NotebookPath(s.nb.Namespace, s.nb.Name) + "/" }

// route keeps the route of the kind that is chosen, and no other.
func (s *state) route(plan *engine.Plan) {
	row, _ := s.chosen()
	if row != nil {
		asked := s.asked()
		plan.Apply = append(plan.Apply, row.Make(route.Route{
			Name: names.NotebookRoute(s.nb.Namespace, s.nb.Name), Namespace: s.nb.Namespace, Labels: ownLabels(s.nb),
			Service: s.nb.Name, Port: servicePort, Path: s.path(), Rewrite: asked.Rewrite, Headers: asked.RequestHeaders,
		}, s.world.Settings.Route))
	}
	for i := range s.world.Routes {
		o := &s.world.Routes[i]
		if (row == nil || o.GroupVersionKind() != row.Object) && o.GetDeletionTimestamp() == nil {
			plan.Delete = append(plan.Delete, engine.Step{Object: o, Reason: eventUnroute, Why: "the route is of another kind now"})
		}
	}
}

// routed is the route as it exists, nil where it does not yet.
func (s *state) routed(row *route.Row) *unstructured.Unstructured {
	i := slices.IndexFunc(s.world.Routes, func(o unstructured.Unstructured) bool { return o.GroupVersionKind() == row.Object })
	if i < 0 {
		return nil
	}
	return &s.world.Routes[i]
}
