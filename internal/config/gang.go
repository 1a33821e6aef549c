// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
)

// Settings is the configuration of gangs as the controllers take it.
func (g Gang) Settings() gang.Settings {
	s := gang.Settings{Scheduler: v1alpha1.GangScheduler(g.Scheduler), SchedulerNames: map[v1alpha1.GangScheduler]string{}}
	for of, name := range g.SchedulerNames {
		s.SchedulerNames[v1alpha1.GangScheduler(of)] = name
	}
	return s
}

func (g Gang) validate(path *field.Path) field.ErrorList {
	all := oneOf(path.Child("scheduler"), g.Scheduler, append([]string{string(v1alpha1.GangAuto)}, gangSchedulers()...)...)
	for _, of := range slices.Sorted(maps.Keys(g.SchedulerNames)) {
		at := path.Child("schedulerNames").Key(of)
		all = append(all, oneOf(at, of, gangSchedulers()...)...)
		for _, text := range validation.IsDNS1123Subdomain(g.SchedulerNames[of]) {
			all = append(all, field.Invalid(at, g.SchedulerNames[of], text))
		}
	}
	return all
}

// gangSchedulers are the names of all that can place gangs.
func gangSchedulers() []string {
	var all []string
	for _, row := range gang.Rows() {
		all = append(all, string(row.Name))
	}
	return all
}
