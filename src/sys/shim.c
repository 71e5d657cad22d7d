/*
 * APR's ring and bucket macros as functions, for apache/brigade.rs.
 *
 * Nothing here may name a symbol of httpd or APR: the file is also loaded by Python, where there
 * is neither. The macros below only follow pointers.
 */
#include <apr_buckets.h>

void wsgi_brigade_insert_tail(apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

/* The first bucket, or NULL when the brigade is empty. */
apr_bucket *wsgi_brigade_first(apr_bucket_brigade *brigade)
{
    apr_bucket *first = APR_BRIGADE_FIRST(brigade);

    return first == APR_BRIGADE_SENTINEL(brigade) ? NULL : first;
}

void wsgi_bucket_delete(apr_bucket *bucket)
{
    apr_bucket_delete(bucket);
}

int wsgi_bucket_is_metadata(const apr_bucket *bucket)
{
    return APR_BUCKET_IS_METADATA(bucket);
}

apr_status_t wsgi_bucket_read(apr_bucket *bucket, const char **data, apr_size_t *length)
{
    return apr_bucket_read(bucket, data, length, APR_BLOCK_READ);
}
