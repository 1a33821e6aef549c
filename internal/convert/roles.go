// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// rolesOf converts the map of replica specs, in the order of the table.
func rolesOf(c *conversion, spec *fields) {
	specs := spec.object(c.row.specs)
	if len(specs.left) == 0 {
		c.fail(specs.path, "Required value: a %s has its roles there; it may be of a version with another shape", c.row.kind)
		return
	}
	names := keys(specs.left)
	for _, role := range c.row.roles {
		for _, name := range names {
			if strings.EqualFold(name, role) {
				c.role(specs, name, role)
			}
		}
	}
	for _, name := range keys(specs.left) {
		specs.lose(name, "framework %s has no such role; it has %s", c.row.framework, strings.Join(c.row.roles, ", "))
	}
	c.complete(specs.path)
}

// complete is a fault where the job lacks what it cannot do without.
func (c *conversion) complete(path string) {
	if len(c.parts) == 0 {
		c.fail(path, "no role with replicas is left")
		return
	}
	if c.row.needs != "" && c.part(c.row.needs) == nil {
		c.fail(path+"."+c.row.needs, "Required value: framework %s needs this role", c.row.framework)
	}
}

// role converts one replica spec.
func (c *conversion) role(specs *fields, key, name string) {
	if c.part(name) != nil {
		specs.lose(key, "the role %s is there already", name)
		return
	}
	spec := specs.object(key)
	p := part{Role: v1alpha1.Role{Name: name}, path: spec.path}
	count := c.replicas(spec, name)
	p.RestartPolicy = c.restartPolicy(spec, name)
	p.template = c.template(spec, &p)
	if c.row.replica != nil && p.template != nil {
		c.row.replica(spec, p.template)
	}
	if count == 0 {
		c.lost(spec.path, "a role has at least one replica, and this one has none")
		return
	}
	c.add(p, count)
}

// add adds a role with its number of replicas.
func (c *conversion) add(p part, count int32) {
	if count != 1 {
		p.Replicas = &count
	}
	c.parts = append(c.parts, p)
}

func (c *conversion) replicas(spec *fields, role string) int32 {
	if count := spec.number("replicas"); count != nil {
		return max(0, *count)
	}
	if count, ok := c.row.replicas[role]; ok {
		return count
	}
	return 1
}

// policies are the restart policies, by their names in the original.
var policies = map[string]string{
	"Always": "Always", "OnFailure": string(v1alpha1.RestartOnFailure), "Never": string(v1alpha1.RestartNever), "ExitCode": string(v1alpha1.RestartExitCode),
}

// restartPolicy is the role's own, or the original's default where a TrainingJob has another.
func (c *conversion) restartPolicy(spec *fields, role string) v1alpha1.RestartPolicy {
	path := spec.at("restartPolicy")
	policy := c.restartable(path, spec.word("restartPolicy", policies), role)
	if policy == v1alpha1.RestartNever && role == c.row.spared {
		// Never would fail the job.
		c.note(path, "the original leaves a %s that failed as it is and the job goes on; here it is replaced, as often as restarts.max allows", role)
		return ""
	}
	return policy
}

func (c *conversion) restartable(path, said, role string) v1alpha1.RestartPolicy {
	if said == "Always" {
		c.lost(path, "Always is OnFailure: a container that has succeeded is not started again")
		return v1alpha1.RestartOnFailure
	}
	if said != "" {
		return v1alpha1.RestartPolicy(said)
	}
	if policy := c.row.policy(role); policy != c.row.fallback {
		return policy
	}
	return ""
}

// effective is what a role does when a replica fails.
func (c *conversion) effective(p part) v1alpha1.RestartPolicy {
	if p.RestartPolicy == "" {
		return c.row.fallback
	}
	return p.RestartPolicy
}

// own converts what only the kind has.
func own(c *conversion, spec *fields) {
	if c.row.own != nil {
		c.row.own(c, spec)
	}
}
