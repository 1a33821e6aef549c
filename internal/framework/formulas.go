// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/internal/names"
)

// The vocabulary that rows share.

func constant(value string) Formula { return func(Member) *string { return &value } }

// text is a formula that always has a value.
func text(f func(Member) string) Formula {
	return func(m Member) *string { return new(f(m)) }
}

// when is the formula where a condition holds.
func when(holds func(Member) bool, f Formula) Formula {
	return func(m Member) *string {
		if !holds(m) {
			return nil
		}
		return f(m)
	}
}

// given is the formula in jobs that have a role.
func given(role string, f Formula) Formula {
	return when(func(m Member) bool { return m.Find(role) != nil }, f)
}

// only is the formula in the pods of a role.
func only(role string, f Formula) Formula {
	return when(func(m Member) bool { return m.Role.Name == role }, f)
}

// distributed is the formula in jobs of more than one pod.
func distributed(f Formula) Formula {
	return when(func(m Member) bool { return m.Size() > 1 }, f)
}

// orElse gives a formula a value where it has none.
func orElse(value string, f Formula) Formula {
	return func(m Member) *string {
		if found := f(m); found != nil {
			return found
		}
		return &value
	}
}

// hostOf is the host of the first pod of a role that the job has.
func hostOf(role string) Formula {
	return text(func(m Member) string { return m.Host(m.Find(role), 0) })
}

// hostsOf are the hosts of all pods of a role, separated by commas.
func hostsOf(role string) Formula {
	return text(func(m Member) string { return strings.Join(m.hosts(m.Find(role)), ",") })
}

// portOf is the rendezvous port of a role that the job has.
func portOf(role string) Formula {
	return text(func(m Member) string { return strconv.Itoa(int(m.Find(role).Port)) })
}

// number is the number of pods of a role, 0 when the job does not have it.
func number(role string) Formula {
	return text(func(m Member) string {
		if found := m.Find(role); found != nil {
			return strconv.Itoa(found.Count)
		}
		return "0"
	})
}

// rank is the pod's place among all pods, from 0.
func rank(m Member) string { return strconv.Itoa(m.Rank()) }

// index is the pod's place in its role, from 0.
func index(m Member) string { return strconv.Itoa(m.Index) }

// size is the number of pods.
func size(m Member) string { return strconv.Itoa(m.Size()) }

// role is the pod's role in lower case.
func role(m Member) string { return names.Lower(m.Role.Name) }
