package org.logoutrelay.keycloak.settle;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

import org.jboss.logging.Logger;

/** Push delivery of a SET (RFC 8935), once. What it misses, the relay polls. */
final class Push {
    private static final Logger LOG = Logger.getLogger(Push.class);

    private final URI url;
    private final Duration timeout;
    private final HttpClient client;

    Push(URI url, Duration timeout) {
        this.url = url;
        this.timeout = timeout;
        this.client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER).connectTimeout(timeout).build();
    }

    /** @return whether the relay has taken it over; never throws, never logs the token */
    boolean send(String jti, String set) {
        HttpRequest request = HttpRequest.newBuilder(url).timeout(timeout)
                .header("Content-Type", "application/secevent+jwt").header("Accept", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(set)).build();
        try {
            int status = client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
            if (status == 202) {
                return true;
            }
            LOG.warnf("The relay answered %d to security event %s; it stays in the outbox for the poll", status, jti);
        } catch (IOException e) {
            LOG.warnf("The relay did not take security event %s (%s); it stays in the outbox for the poll", jti,
                    e.getClass().getSimpleName());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return false;
    }
}
