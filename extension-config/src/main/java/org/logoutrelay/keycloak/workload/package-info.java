/**
 * What clients were given without a login of a person, by whom and from where: a row for each way that it came, not for each
 * token. {@link org.logoutrelay.keycloak.workload.Workloads} has what is counted, and when.
 */
package org.logoutrelay.keycloak.workload;
