// Package tools pins the module that helm is built from.
package tools
